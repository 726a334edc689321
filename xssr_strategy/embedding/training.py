"""Training of an encoder: seeded, resumable after a kill, no label needed."""

from __future__ import annotations

import hashlib
import logging
import math
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xssr_strategy.embedding.encoder import Encoder, TrainedEncoder, TrainingBatch, TrainingSettings
from xssr_strategy.errors import UserError
from xssr_strategy.storage.tensor_files import save_tensors

logger = logging.getLogger(__name__)

COLLAPSED = 0.99
"""Mean pairwise cosine above which the vectors hardly tell images apart."""

_SAVE_EVERY = 15.0  # seconds of work that a kill may cost


def train_encoder(
    encoder: TrainedEncoder,
    inputs: NDArray[np.float16],
    settings: TrainingSettings,
    state_file: Path,
    digest: str = "",
    on_step: Callable[[int, int], None] = lambda step, steps: None,
    device: torch.device | None = None,
    organ: NDArray[np.int8] | None = None,
    scans: NDArray[np.intp] | None = None,
) -> float:
    """Train ``encoder`` in place and return the loss, averaged over the last tenth of the steps.

    Every step draws its images, masks and augmentation from (seed, step) alone, so a run that goes
    on from ``state_file`` after a kill takes the steps that an uninterrupted run takes.

    Args:
        inputs: (N, *input_shape) images in [0, 1]; may be a memory map.
        state_file: the state of the running training; the caller removes it when the result is safe.
        digest: of the images; a state of other images is not continued.
        on_step: called with (step, steps) after each step.
        device: a GPU if there is one, by default.
        organ: (N, slices) which slices hold a label, for an encoder that learns from that; as ``TrainingBatch`` has it.
        scans: (N,) the same number for images of one patient, which a batch holds by twos; by default each is its own.

    Raises:
        UserError: the encoder learns to tell scans apart, and there is but one.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xssr_strategy.embedding.conv_mae import ConvMAE
    >>> encoder = ConvMAE(spatial_dims=2, in_channels=1, channels=(8, 16), patch=4)
    >>> images = np.random.default_rng(0).random((6, 1, 16, 16)).astype(np.float16)
    >>> settings, shown = TrainingSettings(steps=2), lambda step, steps: print(f"step {step} of {steps}")
    >>> with TemporaryDirectory() as folder:
    ...     loss = train_encoder(encoder, images, settings, Path(folder) / "state", on_step=shown)
    step 1 of 2
    step 2 of 2
    >>> encode_all(encoder, images).shape
    (6, 16)
    """
    _refuse_a_single_scan(encoder, inputs if scans is None else np.unique(scans))
    encoder.to(device or torch.device("cuda" if torch.cuda.is_available() else "cpu")).train()
    optimiser = torch.optim.AdamW(
        encoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.95)
    )
    told = [type(encoder).__name__, inputs.shape, digest, sorted(asdict(settings).items())]
    identity = repr((*told, *(_content(one) for one in (organ, scans) if one is not None)))
    first, losses = _resume(state_file, encoder, optimiser, identity)
    saved = time.monotonic()
    with torch.random.fork_rng():
        steps = _steps(encoder, optimiser, inputs, organ, scans, settings, first)
        for step, loss in enumerate(steps, start=first + 1):
            losses.append(loss)
            if time.monotonic() - saved > _SAVE_EVERY:
                _save(state_file, encoder, optimiser, identity, losses)
                saved = time.monotonic()
            on_step(step, settings.steps)
    encoder.eval()
    return float(np.mean(losses[-max(1, settings.steps // 10) :]))


def _steps(
    encoder: TrainedEncoder,
    optimiser: torch.optim.Optimizer,
    inputs: NDArray[np.float16],
    organ: NDArray[np.int8] | None,
    scans: NDArray[np.intp] | None,
    settings: TrainingSettings,
    first: int,
) -> Iterator[float]:
    """Take the steps from ``first`` on, and yield the loss of each."""
    device = next(encoder.parameters()).device
    for step in range(first, settings.steps):
        torch.manual_seed(settings.seed * 1_000_003 + step)
        rows = _batch(step, len(inputs), settings, scans)
        images = torch.from_numpy(inputs[rows].astype(np.float32)).to(device)
        known = None if organ is None else torch.from_numpy(organ[rows])
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _cosine(step, settings.steps)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            numbers = torch.from_numpy(rows if scans is None else scans[rows])
            loss = encoder.training_loss(TrainingBatch(images, numbers, known), settings)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield loss.item()


def mean_cosine(vectors: NDArray[np.float32]) -> float:
    """Mean cosine over all pairs of different rows of ``vectors`` (N, D); 1 for a single row.

    >>> round(mean_cosine(np.float32([[1, 0], [0, 2]])), 3)  # the vectors tell the two images apart
    0.0
    >>> round(mean_cosine(np.float32([[1, 1], [2, 2]])), 3)  # they do not: the encoder has collapsed
    1.0
    """
    if len(vectors) < 2:
        return 1.0
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    total = float(np.square(unit.sum(axis=0, dtype=np.float64)).sum())
    return (total - len(unit)) / (len(unit) * (len(unit) - 1))


def encode_all(encoder: Encoder, inputs: NDArray[np.float16], batch_size: int = 32) -> NDArray[np.float32]:
    """(N, *input_shape) -> (N, dim), on the device where the encoder is."""
    device = next(encoder.parameters()).device
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(inputs), batch_size):
            images = torch.from_numpy(inputs[start : start + batch_size].astype(np.float32)).to(device)
            blocks.append(encoder.encode(images).float().cpu().numpy())
    return np.concatenate(blocks)


def _batch(step: int, size: int, settings: TrainingSettings, scans: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """Rows of the step: the epochs' permutations, laid end to end."""
    positions = np.arange(step * settings.batch_size, (step + 1) * settings.batch_size)
    rows = np.empty(len(positions), dtype=np.intp)
    for epoch in np.unique(positions // size):
        here = positions // size == epoch
        rng = np.random.default_rng([settings.seed, int(epoch)])
        order = rng.permutation(size)
        if scans is not None:
            order = _by_twos(order, scans, rng)
        rows[here] = order[positions[here] % size]
    return rows


def _refuse_a_single_scan(encoder: TrainedEncoder, scans: NDArray[Any]) -> None:
    if encoder.tells_scans and len(scans) < 2:
        raise UserError("a contrastive encoder needs two images at least; add images or choose another encoder.")


def _content(told: NDArray[Any]) -> str:
    return hashlib.sha256(told.tobytes()).hexdigest()


def _by_twos(order: NDArray[np.intp], scans: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """The rows of an order, two of a scan after each other, and one where the scan has no other left."""
    rows = order[np.argsort(scans[order], kind="stable")]
    begins = np.flatnonzero(np.diff(scans[rows])) + 1
    twos = [two for scan in np.split(rows, begins) for two in np.split(scan, range(2, len(scan), 2))]
    return np.concatenate([twos[place] for place in rng.permutation(len(twos))])


def _cosine(step: int, steps: int) -> float:
    """Factor of the learning rate: linear warm-up over a twentieth of the steps, then cosine to 0."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _save(
    state_file: Path, encoder: Encoder, optimiser: torch.optim.Optimizer, identity: str, losses: list[float]
) -> None:
    state = {"identity": identity, "losses": losses, "encoder": encoder.state_dict(), "adamw": optimiser.state_dict()}
    save_tensors(state, state_file)


def _resume(
    state_file: Path, encoder: Encoder, optimiser: torch.optim.Optimizer, identity: str
) -> tuple[int, list[float]]:
    """Number of finished steps and their losses; 0 where there is no state of this very training."""
    if not state_file.exists():
        return 0, []
    device = next(encoder.parameters()).device
    try:
        state = torch.load(state_file, map_location=device, weights_only=True)
        if state["identity"] != identity:
            return 0, []
        if state["encoder"].keys() != encoder.state_dict().keys():  # of an earlier version
            return 0, []
        encoder.load_state_dict(state["encoder"])
    except (OSError, EOFError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        logger.warning("%s is damaged (%s): the encoder's training starts over.", state_file, type(error).__name__)
        return 0, []
    optimiser.load_state_dict(state["adamw"])
    logger.info("Encoder training goes on at step %d.", len(state["losses"]))
    return len(state["losses"]), list(state["losses"])
