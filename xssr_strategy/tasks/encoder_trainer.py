"""Trainer ``encoder``: trains the encoder again when the images it learned from have changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from xssr_strategy.embedding.checkpoint import encoder_settings
from xssr_strategy.embedding.encoder import is_foundation
from xssr_strategy.errors import UserError
from xssr_strategy.pool import encoder_training, pipeline
from xssr_strategy.tasks.progress_reporter import ProgressReporter
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)


class EncoderTrainer(TrainTask):
    """Unsupervised training of the encoder; does nothing, and says so, when there is nothing to train.

    OHIF's "Update Model" starts every trainer, so this one is started each time a radiologist
    trains the segmentation.
    """

    def __init__(self, project: Project) -> None:
        super().__init__("Encoder of the XSSR embedding (needs no label)")
        self._project = project

    def stats(self) -> dict[str, Any]:
        """What the last training found, or nothing."""
        try:
            return encoder_settings(self._path()) if self._path().exists() else {}
        except UserError:
            return {}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train, or say that there is nothing to do."""
        project = self._project
        if is_foundation(project.settings.encoder):
            logger.info("Encoder %s is used as it is: nothing to train.", project.settings.encoder)
            return {"status": "not trained here"}
        project.workspace.root.mkdir(parents=True, exist_ok=True)
        progress = ProgressReporter(project, logger)
        try:
            images = pipeline.source_images(project.settings, progress) or project.pool(datastore)
            # Never waits: training is one queue, and the segmentation stands behind this.
            with FileLock(project.workspace.lock, timeout=0):
                if encoder_training.is_current(self._path(), images, project.settings.source is not None):
                    logger.info("The encoder is up to date: nothing to train.")
                    return {"status": "up to date"}
                encoder_training.train(images, project.settings, project.preset, project.workspace, progress)
                project.report_end()
        except Timeout:
            logger.info("The scoring is at work with the encoder: nothing to train.")
            return {"status": "busy"}
        except UserError as error:
            logger.error("Encoder not trained: %s", error)
            project.report_end(str(error))
            return {"error": str(error)}
        return {"status": "trained", **self.stats()}

    def _path(self) -> Path:
        return self._project.workspace.encoder(self._project.settings, self._project.preset)
