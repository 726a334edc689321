"""Scoring method ``entropy``: how unsure the present segmentation model is of every image that is not labelled."""

from __future__ import annotations

import logging
from itertools import islice
from typing import Any

import torch
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from xssr_strategy.errors import UserError
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.plan import check_plan
from xssr_strategy.segmentation.publication import load_model
from xssr_strategy.segmentation.uncertainty import image_entropies
from xssr_strategy.segmentation.uncertainty_store import ImageEntropy
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)

_BATCH = 16  # values written at a time, which is what a kill may cost


class EntropyScoring(ScoringMethod):
    """One pass of the model over what is new since it was trained.

    MONAI Label runs it as it does every scoring method; a run with nothing new ends at once. The server starts it by
    itself once a strategy that needs it was asked for.

    Args:
        project: settings, workspace and stores.
        datastore: of the server, for :meth:`info`.
    """

    def __init__(self, project: Project, datastore: Datastore) -> None:
        super().__init__("Mean predictive entropy of the segmentation model, one pass per image")
        self._project = project
        self._datastore = datastore

    def info(self) -> dict[str, Any]:
        """Id of the model (None before there is one), images scored by it, and images that wait for it."""
        images = self._project.unlabelled(self._datastore)
        model, scored, waiting = self._project.uncertainty.progress(images)
        return {"description": self.description, "model": model, "scored": scored, "waiting": waiting}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """One run; the answer tells how many images were scored, or the sentence that says why none could be."""
        uncertainty = self._project.uncertainty
        model = uncertainty.model
        if model is None:
            logger.info("No segmentation model is trained yet: nothing to score.")
            return {"model": None, "scored": 0}
        images = self._project.unlabelled(datastore)
        pool = self._project.pool(datastore)
        todo, present = uncertainty.outstanding({image: pool[image] for image in sorted(images)})
        if not todo:
            logger.info("Every unlabelled image is scored by %s: nothing to do.", model)
            return {"model": model, "scored": 0}
        try:
            network, plan = load_model(self._project.workspace.segmentation)
            check_plan(plan, self._project.preset, self._project.settings.labels)
        except UserError as error:
            logger.error("Scoring stopped: %s", error)
            return {"error": str(error)}
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        found = image_entropies(todo, network.to(device), plan, self._project.preset, device)
        done = 0
        while batch := list(islice(found, _BATCH)):
            uncertainty.store.put(model, [_scored(image, present[image], value) for image, value in batch])
            done += len(batch)
            logger.info("Entropy: %d of %d", done, len(todo))
            if uncertainty.model != model:
                logger.info("A new model is published: the rest is scored by that.")
                return {"model": model, "scored": done}
        uncertainty.store.forget_others(model)
        return {"model": model, "scored": done}


def _scored(image: str, state: str, value: float | UnreadableImage) -> ImageEntropy:
    if isinstance(value, float):
        return ImageEntropy(image, state, value)
    logger.warning("Not scored: %s: %s", image, value)
    return ImageEntropy(image, state, None)
