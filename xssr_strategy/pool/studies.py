"""The images to annotate: files of a folder, or series of an archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from xssr_strategy.archive.pool import ArchivePool, SeriesQuery
from xssr_strategy.archive.query import FILTER, Query, is_remote, series_filter
from xssr_strategy.errors import UserError
from xssr_strategy.images.left_out import Told
from xssr_strategy.images.listing import find_images
from xssr_strategy.labels.layouts import tell_unmatched_labels
from xssr_strategy.settings import Settings

EMPTY_LABEL = "an empty label, kept on the server"
"""Where a label on which nothing is drawn is, which no archive can hold."""


@dataclass(frozen=True)
class Studies:
    """What there is to annotate.

    Attributes:
        name: folder or URL, as it was named.
        images: id -> file or folder, sorted by id; the folder of a series may not be there yet.
        labelled: id -> where its final label is.
        archive: the archive, if it is one.
        told: what the log has told of the folders that were listed.
    """

    name: str
    images: Mapping[str, Path]
    labelled: Mapping[str, str]
    archive: ArchivePool | None = None
    told: Told = field(default_factory=Told)

    def fetch(self, progress: Callable[[int, int], None]) -> dict[str, str]:
        """Bring the series of an archive here; id -> reason of those that it cannot give.

        Raises:
            UserError: the archive does not answer.
        """
        return {} if self.archive is None else self.archive.fetch(progress)


def open_studies(name: str, settings: Settings) -> Studies:
    """Look at a folder or an archive.

    Args:
        name: folder, or URL of a DICOMweb service.
        settings: resolved (:func:`resolved`): the series of a source in the same archive are left out.

    Raises:
        UserError: no image is there, or the archive does not answer.
    """
    if not is_remote(name):
        told = Told()
        images = find_images(Path(name), told=told)
        if not images:
            raise UserError(
                f"--studies {name}: no image is there; put images (NIfTI, NRRD, MHA, PNG, JPEG, TIFF, "
                "DICOM) into that folder itself."
            )
        labels = Path(name) / "labels" / "final"
        labelled = find_images(labels) if labels.is_dir() else {}
        tell_unmatched_labels(labels, labelled, images)
        known = {image: str(path) for image, path in labelled.items() if image in images}
        return Studies(name, images, known, told=told)
    source = None
    if isinstance(settings.source, Query) and settings.source.url == name.rstrip("/"):
        source = SeriesQuery(settings.source, "--conf source")
        source.files()
    pool = ArchivePool(name, series_filter(), source)
    if not pool.series():
        wanted = " and ".join(f"{key} {value}" for key, value in pool.query.filters) or "any filter"
        raise UserError(
            f'--studies {name}: no series with {wanted} is there; name others with {FILTER}=\'{{"Modality":"MR"}}\'.'
        )
    images = {uid: pool.cache.folder(uid) for uid in pool.series()}
    found = {uid: pool.labels.segmentation(uid) for uid in sorted(pool.labelled())}
    where = {uid: f"segmentation {one.uid}" if one.study else EMPTY_LABEL for uid, one in found.items() if one}
    return Studies(name, images, where, pool)


def resolve_source(settings: Settings, studies: str) -> Settings:
    """The settings with the whole name of a source that is in the archive of the studies.

    Raises:
        UserError: there is no such archive.
    """
    query = settings.source
    if not isinstance(query, Query) or query.url:
        return settings
    if not is_remote(studies):
        raise UserError(f"source {query}: is a filter on an archive, but --studies is a folder; name a folder.")
    return replace(settings, source=query.at(studies))
