"""What the tasks of one server know of the model's uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.versions import READING, kept_as, last_change, parse_kept
from xssr_strategy.segmentation.publication import model_id
from xssr_strategy.segmentation.uncertainty_store import UncertaintyStore


class Uncertainty:
    """Entropies of the pool, and whether they are those of the present model.

    Args:
        path: of the store.
        published: the model file.
        wanted: whether entropies are kept up to date before any strategy has asked for them.

    Attributes:
        store: the entropies.
    """

    def __init__(self, path: Path, published: Path, wanted: bool) -> None:
        self.store = UncertaintyStore(path)
        self._published = published
        self._always = wanted
        self._model: tuple[tuple[int, int], str | None] | None = None
        self._read: tuple[tuple[int, int], str | None, dict[str, float]] | None = None

    @property
    def model(self) -> str | None:
        """Id of the model that is published, or None."""
        try:
            status = self._published.stat()
            state = status.st_mtime_ns, status.st_size
            if self._model is None or self._model[0] != state:
                self._model = state, model_id(self._published)
        except OSError:
            return None
        return self._model[1]

    def entropies(self) -> tuple[str | None, Mapping[str, float]]:
        """The model that was asked last, and image -> entropy in nats; none before any was."""
        version = self.store.version()
        if self._read is None or self._read[0] != version:
            model = self.store.latest()
            self._read = version, model, {} if model is None else self.store.entropies(model)
        return self._read[1:]

    def outstanding(self, images: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, str]]:
        """The images that the present model has not seen in their present state, and the state of each of them.

        What an earlier reading gave of an image that is still read in that way is kept.
        """
        model = self.model
        todo: dict[str, Path] = {}
        present: dict[str, str] = {}
        same: dict[str, str] = {}
        known = {} if model is None else self.store.fingerprints(model)
        for image, path in images.items() if model is not None else ():
            with suppress(UserError):  # deleted since it was listed
                file = fingerprint(path)
                before, reading = parse_kept(known.get(image, ""))
                if (before, reading) == (file, READING):
                    continue
                if before == file and last_change(path) <= reading < READING:
                    same[image] = kept_as(file)
                else:
                    todo[image], present[image] = path, kept_as(file)
        if model is not None and same:
            self.store.confirm(model, same)
        return todo, present

    @property
    def waited_for(self) -> bool:
        """Whether there is a model, and a strategy that waits for what it says."""
        return self.model is not None and (self._always or bool(self.store.wanted()))

    def progress(self, images: Set[str]) -> tuple[str | None, int, int]:
        """Id of the present model, how many of these images it has seen, and how many wait for it."""
        model = self.model
        if model is None:
            return None, 0, 0
        seen = len(images & self.store.seen(model))
        return model, seen, len(images) - seen
