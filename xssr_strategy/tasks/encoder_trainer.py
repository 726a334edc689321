"""Trainer ``encoder``: trains the encoder again when the images it learned from have changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from xssr_strategy import worklist
from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.tasks.project import READY, Heartbeat, Project

logger = logging.getLogger(__name__)

_GROWTH = 1.5  # without a source, the encoder learns again once the pool has grown by half (our choice)


class EncoderTrainer(TrainTask):
    """Unsupervised training of the encoder; does nothing, and says so, when the checkpoint is up to date.

    OHIF's "Update Model" starts every trainer, so this one is started each time a radiologist
    trains the segmentation.
    """

    def __init__(self, project: Project) -> None:
        super().__init__("Encoder of the XSSR embedding (needs no label)")
        self._project = project

    def stats(self) -> dict[str, Any]:
        """What the last training found, or nothing."""
        path = self._path()
        if not path.exists():
            return {}
        try:
            return dict(load_encoder(path).settings)
        except UserError:
            return {}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train, or say that there is nothing to do."""
        project = self._project
        images = worklist.source_images(project.settings) or project.pool(datastore)
        project.workspace.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(project.workspace.lock):
                if self._is_current(images):
                    logger.info("The encoder is up to date: nothing to train.")
                    return {"status": "up to date"}
                worklist.train(images, project.settings, project.preset, project.workspace, Heartbeat(project, logger))
        except UserError as error:
            logger.error("Encoder not trained: %s", error)
            return {"error": str(error)}
        finally:
            project.report_progress(READY, 0, 0)
        return {"status": "trained", **self.stats()}

    def _is_current(self, images: dict[str, Path]) -> bool:
        path = self._path()
        if not path.exists():
            return False
        facts = load_encoder(path).settings
        if self._project.settings.source is None:
            return len(images) < _GROWTH * facts["trained_on"]
        return bool(facts["images"] == worklist.images_digest(images))

    def _path(self) -> Path:
        return self._project.workspace.encoder(self._project.settings, self._project.preset)
