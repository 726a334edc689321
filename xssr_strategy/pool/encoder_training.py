"""The encoder of a workspace: trained on unlabelled images, or a foundation encoder used as it is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import encoder_settings, save_encoder
from xssr_strategy.embedding.encoder import TrainedEncoder, TrainingSettings
from xssr_strategy.embedding.inputs import training_inputs
from xssr_strategy.embedding.slice_labels import slices_that_hold_labels
from xssr_strategy.embedding.training import COLLAPSED, encode_all, mean_cosine, train_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.lists import read_table
from xssr_strategy.images.patients import patients_by_image
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.versions import READING, kept_as
from xssr_strategy.labels.source import read_source_labels
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.settings import Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""

TRAINING = "training encoder"

_GROWTH = 1.5  # without a source, an encoder learns again once the pool has grown by half (our choice)
_TRAINING_IMAGES = 2000  # at most, drawn with the seed: more would only fill the disk (our choice)


def train(
    images: Mapping[str, Path],
    settings: Settings,
    preset: Preset,
    workspace: Workspace,
    progress: Progress,
    pairs: Sequence[Mapping[str, str]] | None = None,
    patients: Mapping[str, str] | None = None,
) -> None:
    """Train the encoder of these settings on unlabelled images and write its checkpoint.

    A foundation encoder is not trained: its checkpoint says what it is built from.

    Args:
        images: id -> path.
        pairs: labelled ones among them, for an encoder that learns from labels; by default those of
            ``--conf source_labels``.
        patients: image -> patient, for an encoder that learns which pictures are of one patient; by default those that
            the files name and, of a pool, those of ``--conf patients``.

    Raises:
        UserError: not one image can be read, a foundation encoder cannot be built, or the labels that an encoder needs
            are missing.
    """
    path = workspace.encoder(settings, preset)
    names = sorted(images)
    if len(names) > _TRAINING_IMAGES:
        drawn = np.random.default_rng(settings.seed).choice(len(names), _TRAINING_IMAGES, replace=False)
        names = [names[i] for i in sorted(drawn)]
    chosen = {name: images[name] for name in names}
    encoder = build_encoder(settings.encoder, preset, settings.seed, settings.encoder_options)
    facts: dict[str, Any] = {"pool": len(images), "images": images_digest(images)}
    if isinstance(encoder, TrainedEncoder):
        if pairs is None and encoder.slices and settings.source_labels is not None:
            pairs = read_source_labels(settings.source_labels, images, settings.labels).pairs
        if patients is None and encoder.tells_scans and preset.spatial_dims == 2:
            patients = _patients(images, settings)
        told = pairs or (), patients or {}
        facts |= _trained(encoder, chosen, *told, settings, preset, workspace, facts["images"], progress)
    else:
        logger.info("Encoder %s is used as it is: %d numbers for each image.", settings.encoder, encoder.dim)
        facts |= {"dim": encoder.dim}
    save_encoder(path, settings.encoder, encoder, preset, facts)
    _state_file(path).unlink(missing_ok=True)
    for file in path.parent.glob(f"{path.stem}.*.npy"):  # also of a training that was killed before an upgrade
        file.unlink()


def _trained(
    encoder: TrainedEncoder,
    images: Mapping[str, Path],
    pairs: Sequence[Mapping[str, str]],
    patients: Mapping[str, str],
    settings: Settings,
    preset: Preset,
    workspace: Workspace,
    digest: str,
    progress: Progress,
) -> dict[str, Any]:
    """Train an encoder in place; what it was told, and what came of it."""
    path = workspace.encoder(settings, preset)
    progress(TRAINING, 0, settings.encoder_steps)
    cache = path.with_suffix(f".{digest[:8]}-{READING}.npy")
    inputs, ids = training_inputs(images, encoder, preset, cache, lambda done, total: None, workspace.root)
    organ = _labelled_slices(encoder, [images[image] for image in ids], pairs, settings, preset)
    scans = _scans(encoder, ids, patients, preset)
    training = TrainingSettings(steps=settings.encoder_steps, seed=settings.seed)
    loss = train_encoder(
        encoder,
        inputs,
        training,
        _state_file(path),
        kept_as(digest),
        lambda step, steps: progress(TRAINING, step, steps),
        organ=organ,
        scans=scans,
    )
    cosine = mean_cosine(encode_all(encoder, inputs[:200]))
    if cosine > COLLAPSED and len(inputs) > 1:
        logger.warning(
            "The embedding has collapsed or nearly so (mean pairwise cosine %.4f, above %.2f): it may tell images "
            "apart poorly. Train longer (--conf encoder_steps), on more varied images, or with another encoder.",
            cosine,
            COLLAPSED,
        )
    logger.info("Encoder trained on %d images: loss %.4f, mean cosine %.3f.", len(inputs), loss, cosine)
    return {**asdict(training), "loss": loss, "mean_cosine": cosine}


def _state_file(checkpoint: Path) -> Path:
    """Where a running training keeps its state."""
    return checkpoint.with_suffix(".training")


def _labelled_slices(
    encoder: TrainedEncoder,
    images: Sequence[Path],
    pairs: Sequence[Mapping[str, str]],
    settings: Settings,
    preset: Preset,
) -> NDArray[np.int8] | None:
    """What an encoder that learns from labels is told of each image's slices; None for the others.

    Raises:
        UserError: no slice holds a label, or each does.
    """
    if not encoder.slices:
        return None
    organ = slices_that_hold_labels(images, pairs, settings.labels, preset, encoder.slices)
    if not {0, 1} <= set(organ.flat):
        raise UserError(
            f"encoder {settings.encoder}: learns from labels of the source, and needs slices that hold one and slices "
            "that hold none; name labels with --conf source_labels, or choose poly_cl."
        )
    return organ


def _patients(images: Mapping[str, Path], settings: Settings) -> dict[str, str]:
    """image -> patient: of a pool what ``--conf patients`` says, and what the files say.

    Raises:
        UserError: the table cannot be used.
    """
    told: dict[str, str] = {}
    if settings.patients is not None and settings.source is None:
        lines, _ = read_table(settings.patients, ("image",), "patient", images)
        told = {line.image: line.value for line in lines if line.value}
    return patients_by_image(images, told)


def _scans(
    encoder: TrainedEncoder, images: Sequence[str], patients: Mapping[str, str], preset: Preset
) -> NDArray[np.intp] | None:
    """The same number for pictures of one patient, for an encoder that learns that; None if each is its own.

    A volume holds slices enough of its own: each is a scan.
    """
    if not encoder.tells_scans or preset.spatial_dims == 3:
        return None
    names, numbers = np.unique([patients.get(image, image) for image in images], return_inverse=True)
    if len(names) == len(images):
        return None
    if len(names) == 1:
        logger.warning("All %d images are of one patient: the encoder takes each for a scan of its own.", len(images))
        return None
    logger.info("The encoder learns which of %d images are of one of %d patients.", len(images), len(names))
    scans: NDArray[np.intp] = numbers
    return scans


def is_current(path: Path, images: Mapping[str, Path], of_source: bool) -> bool:
    """Whether a trained encoder need not learn again.

    Args:
        path: of its checkpoint; it may be missing.
        images: id -> path of what it would learn from.
        of_source: whether they are those of the source, and not the pool's, which grows.

    Raises:
        UserError: the checkpoint is damaged.
    """
    if not path.exists():
        return False
    facts = encoder_settings(path)
    return bool(facts["images"] == images_digest(images)) if of_source else len(images) < _GROWTH * facts["pool"]


def images_digest(images: Mapping[str, Path]) -> str:
    """A digest of the images' ids and sizes; a copy of the folder has the same."""
    sizes = []
    for name, path in sorted(images.items()):
        with suppress(UserError):  # deleted since it was listed
            sizes.append(f"{name}:{fingerprint(path).rpartition('-')[0]}")
    return hashlib.sha256("\n".join(sizes).encode()).hexdigest()
