"""What the published segmentation model said of a pool, and of which images it has not said anything yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import Generic

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.versions import READING, kept_as, last_change, parse_kept
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import model_id, published_plan
from xssr_strategy.segmentation.score_stores import ScoreStore, Value


class PublishedModel:
    """What is to be known of a model file, found anew only when the file has changed.

    Args:
        path: the file.
        check: raises UserError for the plan of a model that cannot be asked.
    """

    def __init__(self, path: Path, check: Callable[[SegmentationPlan], None] = lambda plan: None) -> None:
        self._path, self._check = path, check
        self._known: tuple[tuple[int, int], str | None] | None = None
        self._problem: tuple[str, str] | None = None  # of the model of this id

    def __call__(self) -> str | None:
        """The id, or None if nothing is published."""
        try:
            status = self._path.stat()
            state = status.st_mtime_ns, status.st_size
            if self._known is None or self._known[0] != state:
                self._known = state, model_id(self._path)
        except OSError:
            return None
        return self._known[1]

    def problem(self) -> str:
        """Why the model cannot be asked, in a sentence; empty if it can, and if nothing is published."""
        model = self()
        if model is None:
            return ""
        if self._problem is None or self._problem[0] != model:
            try:
                plan = published_plan(self._path)
            except UserError as error:  # which the next look may not find
                return str(error)
            try:
                self._check(plan)
                self._problem = model, ""
            except UserError as error:
                self._problem = model, str(error)
        return self._problem[1]


class ModelScores(Generic[Value]):
    """Values of the pool's images, and whether they are those of the present model.

    Args:
        store: the values.
        model: that is published.
        wanted: whether the values are kept up to date before any strategy has asked for them.

    Attributes:
        store: the values.
    """

    def __init__(self, store: ScoreStore[Value], model: PublishedModel, wanted: bool) -> None:
        self.store = store
        self._model = model
        self._always = wanted
        self._seen: tuple[tuple[tuple[int, int], str], frozenset[str]] | None = None
        self._read: tuple[tuple[int, int], str | None, dict[str, Value]] | None = None

    @property
    def model(self) -> str | None:
        """Id of the model that is published, or None."""
        return self._model()

    @property
    def problem(self) -> str:
        """Why the published model cannot be asked; empty if it can."""
        return self._model.problem()

    def asked(self) -> tuple[str | None, Mapping[str, Value]]:
        """The model that has seen most images, and image -> value; none before any was asked."""
        version = self.store.version()
        if self._read is None or self._read[0] != version:
            self._read = version, self.store.asked(), self.store.values_of_asked()
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

    def is_due(self, images: Callable[[], Set[str]]) -> bool:
        """Whether a strategy waits for what the model says of an image that it has not seen.

        Args:
            images: finds those that it may be asked about.
        """
        wanted = self.model is not None and (self._always or bool(self.store.wanted()))
        return wanted and not self.problem and bool(self.progress(images())[2])

    def progress(self, images: Set[str]) -> tuple[str | None, int, int]:
        """Id of the present model, how many of these images it has seen, and how many wait for it."""
        model = self.model
        if model is None:
            return None, 0, 0
        version = self.store.version()
        if self._seen is None or self._seen[0] != (version, model):
            self._seen = (version, model), frozenset(self.store.seen(model))
        seen = len(images & self._seen[1])
        return model, seen, len(images) - seen
