"""The encoder with whose weights a training begins: the one of the selection, or another that is trained for it."""

from __future__ import annotations

import logging
from dataclasses import replace

from filelock import FileLock
from monailabel.interfaces.datastore import Datastore

from xssr_strategy.embedding.checkpoint import EncoderCheckpoint, load_encoder
from xssr_strategy.pool import encoder_training, pipeline
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)


def encoder_to_start_from(project: Project, name: str, datastore: Datastore) -> EncoderCheckpoint:
    """The encoder of this name, trained on the images that the selection's learns from if it is not there yet.

    Waits while a scoring works with the encoder, which may be training it.

    Args:
        name: of a trained encoder.

    Raises:
        UserError: it is damaged, or there is nothing to train it on.
    """
    settings = replace(project.settings, encoder=name)
    path = project.workspace.encoder(settings, project.preset)
    project.workspace.root.mkdir(parents=True, exist_ok=True)
    with FileLock(project.workspace.lock):
        if not path.exists():
            images = pipeline.source_images(settings, _log) or project.pool(datastore)
            encoder_training.train(images, settings, project.preset, project.workspace, _log)
    return load_encoder(path)


def _log(stage: str, done: int, total: int) -> None:
    """A line for each tenth. The progress that viewers see is the scoring's."""
    if 10 * done // max(1, total) > 10 * (done - 1) // max(1, total):
        logger.info("%s: %d of %d", stage, done, total)
