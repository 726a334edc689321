"""Scoring methods ``entropy`` and ``quality``: what the present segmentation model says of every unlabelled image."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, Generic

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from xssr_strategy.errors import UserError
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel.images import Workers
from xssr_strategy.segmentation.model_scores import ModelScores
from xssr_strategy.segmentation.score_stores import ImageScore, Value
from xssr_strategy.segmentation.workers import (
    EntropyFunction,
    NetworkFunction,
    NoJudgeError,
    QualityFunction,
    scored_pool,
)
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)

_BATCH = 16  # values written at a time, which is what a kill may cost


class ModelScoring(ScoringMethod, Generic[Value]):
    """One pass of the model over what is new since it was trained.

    MONAI Label runs it as it does every scoring method; a run with nothing new ends at once. The server starts it by
    itself once a strategy that needs it was asked for.

    Args:
        project: settings, workspace and stores.
        datastore: of the server, for :meth:`info`.
    """

    what: ClassVar[str]
    function: ClassVar[type[NetworkFunction[Any]]]

    def __init__(self, description: str, project: Project, datastore: Datastore, scores: ModelScores[Value]) -> None:
        super().__init__(description)
        self._project, self._datastore, self._scores = project, datastore, scores

    def info(self) -> dict[str, Any]:
        """Id of the model (None before there is one), images scored by it, images that wait, and why in vain if so."""
        images = self._project.unlabelled(self._datastore)
        model, scored, waiting = self._scores.progress(images)
        told = {"description": self.description, "model": model, "scored": scored, "waiting": waiting}
        problem = self._scores.problem
        return {**told, "problem": problem} if problem else told

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """One run; the answer tells how many images were scored, or the sentence that says why none could be."""
        model = self._scores.model
        if model is None:
            logger.info("No segmentation model is trained yet: nothing to score.")
            return {"model": None, "scored": 0}
        images = self._project.unlabelled(datastore)
        pool = self._project.pool(datastore)
        todo, present = self._scores.outstanding({image: pool[image] for image in sorted(images)})
        if not todo:
            logger.info("Every unlabelled image is scored by %s: nothing to do.", model)
            return {"model": model, "scored": 0}
        settings, network = self._project.settings, self._project.workspace.segmentation
        function = self.function(network, model, self._project.preset, settings.labels)
        done = 0
        try:
            for batch in _batches(scored_pool(function, todo, Workers(settings.embed_workers))):
                if self._scores.model != model:
                    break
                self._scores.store.put(model, [_scored(image, present[image], value) for image, value in batch])
                done += len(batch)
                logger.info("%s: %d of %d", self.what, done, len(todo))
        except NoJudgeError as error:
            logger.error("Scoring stopped: %s", error)
            self._scores.store.put(model, [ImageScore(image, present[image], None) for image in todo])
            self._scores.store.forget_others(model)  # or what they said would be taken for the present for ever
            return {"error": str(error)}
        except UserError as error:
            if self._scores.model == model:
                logger.error("Scoring stopped: %s", error)
                return {"error": str(error)}
        if self._scores.model != model:
            logger.info("A new model is published: the rest is scored by that.")
        else:
            self._scores.store.forget_others(model)
        return {"model": model, "scored": done}


class EntropyScoring(ModelScoring[float]):
    """How unsure the model is of every image that is not labelled."""

    what, function = "Entropy", EntropyFunction

    def __init__(self, project: Project, datastore: Datastore) -> None:
        description = "Mean predictive entropy of the segmentation model, one pass per image"
        super().__init__(description, project, datastore, project.uncertainty)


class QualityScoring(ModelScoring[Mapping[str, float]]):
    """How good the model's mask of every image is that is not labelled."""

    what, function = "Quality", QualityFunction

    def __init__(self, project: Project, datastore: Datastore) -> None:
        description = "Quality of the automatic masks, one pass of the segmentation model per image"
        super().__init__(description, project, datastore, project.qualities)


def _batches(
    found: Iterable[tuple[str, Value | UnreadableImage]],
) -> Iterator[list[tuple[str, Value | UnreadableImage]]]:
    """What is written at once."""
    each = iter(found)
    while batch := list(islice(each, _BATCH)):
        yield batch


def _scored(image: str, state: str, value: Value | UnreadableImage) -> ImageScore[Value]:
    if isinstance(value, UnreadableImage):
        logger.warning("Not scored: %s: %s", image, value)
        return ImageScore(image, state, None)
    return ImageScore(image, state, value)
