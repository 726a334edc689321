"""The encoder with whose weights a training begins: the one of the selection, or another that is trained for it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from monailabel.interfaces.datastore import Datastore

from xssr_strategy.embedding.checkpoint import EncoderCheckpoint, load_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.pool import encoder_training, pipeline
from xssr_strategy.settings import Settings
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)


def encoder_to_start_from(project: Project, name: str, datastore: Datastore) -> EncoderCheckpoint:
    """The encoder of this name, trained on the images that the selection's learns from where it is missing or outgrown.

    That of the selection, once it is there, is as it is: the vectors are made with it.

    Args:
        name: of a trained encoder.

    Raises:
        UserError: it is damaged, or there is nothing to train it on; a scoring is at work, which may be training it, or
            series of the archive are not here yet.
    """
    settings = replace(project.settings, encoder=name)
    path = project.workspace.encoder(settings, project.preset)
    if not path.exists():
        _train(project, settings, path, datastore)
    elif name != project.settings.encoder:
        try:
            _train(project, settings, path, datastore)
        except UserError as error:
            logger.warning("The encoder is as it was: %s.", error)
    return load_encoder(path)


def _train(project: Project, settings: Settings, path: Path, datastore: Datastore) -> None:
    """Train the encoder, unless it has learnt from these images."""
    images = pipeline.source_images(settings, _log) or project.pool(datastore)
    of_source = settings.source is not None
    if encoder_training.is_current(path, images, of_source):
        return
    if missing := sum(not image.exists() for image in images.values()):
        raise UserError(
            f"encoder {settings.encoder}, with which the training begins, cannot be trained yet: {missing} of "
            f"{len(images)} series of the archive are not here; train again when they are"
        )
    project.workspace.root.mkdir(parents=True, exist_ok=True)
    try:
        # Never waits, as the trainer of the encoder: trainings are one queue.
        with FileLock(project.workspace.lock, timeout=0):
            if not encoder_training.is_current(path, images, of_source):
                encoder_training.train(images, settings, project.preset, project.workspace, _log)
    except Timeout as error:
        raise UserError(
            f"encoder {settings.encoder}, with which the training begins, cannot be trained: the scoring is at work "
            "with the images; train again when it has ended, or choose the method supervised"
        ) from error


def _log(stage: str, done: int, total: int) -> None:
    """A line for each tenth. The progress that viewers see is the scoring's."""
    if 10 * done // max(1, total) > 10 * (done - 1) // max(1, total):
        logger.info("%s: %d of %d", stage, done, total)
