"""The annotator of a simulation."""

from __future__ import annotations

from collections.abc import Sequence

from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.segmentation.network import without_ignored
from xssr_strategy.simulation.domains import Domain
from xssr_strategy.simulation.evaluation import read_case


def holding_anything(domain: Domain, preset: Preset, labels: Sequence[str]) -> frozenset[str]:
    """Images of the pool on whose label anything is drawn; not those without a label that can be read."""
    return frozenset(
        image for image in domain.pool if image in domain.labels and _is_drawn_on(domain, image, preset, labels)
    )


def _is_drawn_on(domain: Domain, image: str, preset: Preset, labels: Sequence[str]) -> bool:
    try:
        _, label = read_case(domain.labelled(image, labels), preset, labels)
    except UserError:  # whoever picks it is told
        return False
    return bool(without_ignored(label)[0].any())


class SimulatedAnnotator:
    """The labels of a domain, handed out one by one; what was not asked for was not looked at.

    Args:
        domain: whose labels.
        labels: names of the labels of the training.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xssr_strategy.simulation.annotator import SimulatedAnnotator
    >>> from xssr_strategy.simulation.domains import read_domain
    >>> with TemporaryDirectory() as folder:
    ...     for part in ("images", "labels"):
    ...         (Path(folder) / part).mkdir()
    ...         for name in ("scan1", "scan2", "scan3"):
    ...             (Path(folder) / part / f"{name}.png").touch()
    ...     annotator = SimulatedAnnotator(read_domain(Path(folder), "--target"))
    >>> [Path(pair["label"]).name for pair in annotator.annotate(["scan2", "scan1"])]
    ['scan2.png', 'scan1.png']
    >>> sorted(annotator.paid)  # the label of scan3 is unknown to everybody
    ['scan1', 'scan2']
    """

    def __init__(self, domain: Domain, labels: Sequence[str] = ()) -> None:
        self._domain, self._labels = domain, labels
        self._pool = frozenset(domain.pool)
        self._paid: set[str] = set()

    @property
    def paid(self) -> frozenset[str]:
        """Images whose labels were handed out."""
        return frozenset(self._paid)

    def annotate(self, images: Sequence[str]) -> list[dict[str, str]]:
        """Hand out labels, all of these or none.

        Args:
            images: ids of the pool; one that was handed out before costs nothing more.

        Returns:
            The pair of each, as ``labelled_pair`` makes it, in the order asked.

        Raises:
            UserError: an image has no label.
            ValueError: an image is not in the pool, a test case for one.
        """
        domain = self._domain
        for image in images:
            if image not in self._pool:
                raise ValueError(f"{image} is not in the pool of {domain.name}")
            if image not in domain.labels:
                raise UserError(
                    f"{domain.root}: the image {image} has no label; add {domain.label_places[image]} "
                    "or take the image out of the pool."
                )
        self._paid.update(images)
        return [domain.labelled(image, self._labels) for image in images]
