"""One training with its scores: the unit of work that a process, a cluster's node or an array task runs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xssr_strategy import __version__
from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import content_digest, fingerprint
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.versions import last_change
from xssr_strategy.labels.reading import names_of, usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.features import image_features
from xssr_strategy.segmentation.inference import finite
from xssr_strategy.segmentation.methods.catalogue import METHODS, SUPERVISED
from xssr_strategy.segmentation.methods.recipe import Recipe
from xssr_strategy.segmentation.pair_cache import MemoryCache, PairCache
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter
from xssr_strategy.segmentation.training import train
from xssr_strategy.segmentation.uncertainty import image_class_entropies
from xssr_strategy.simulation.evaluation import LabelScores, ScoredCase, score
from xssr_strategy.simulation.remarks import remarks
from xssr_strategy.simulation.thumbnails import overlay
from xssr_strategy.storage.atomic_files import write_atomic

OVERLAYS = 4
"""Worst cases of a training that get a picture; our choice."""


Rows = tuple[tuple[float, ...], ...]
"""(cases, labels) values."""


@dataclass(frozen=True)
class EncoderStart:
    """An encoder with whose weights a training begins.

    Attributes:
        path: its checkpoint.
        id: of the checkpoint, with a digest of the weights.
    """

    path: Path
    id: str


@dataclass(frozen=True)
class Training:
    """What a worker is given; it knows nothing else.

    Attributes:
        digest: of the rest, by the content of the files, wherever they lie; ``training_of`` makes it.
        pairs: what is trained on, as ``labelled_pair`` makes it, sorted.
        cases: id -> every test case, likewise.
        preset, labels: kind of image, and names of the labels without the background.
        method: name of the training method.
        recipe, steps, seed: of the training; every strategy gets the same number of steps.
        threads: processor threads.
        overlays: folder for pictures of the worst cases.
        unlabelled: id -> path of what the method may learn from without a label; empty if it does not use any.
        min_spacing: as ``plan_from`` has it.
        entropy_of, features_of: id -> path of images whose entropy, or whose features by the network, are wanted; no
            business of ``digest``.
        encoder: with whose weights the training begins; None if the method needs none.
        refine_by: folder of SAM 2's weights, and the side that it sees, if refined masks are to be scored, too; no
            business of ``digest``.
    """

    digest: str
    pairs: tuple[Mapping[str, str], ...]
    cases: Mapping[str, Mapping[str, str]]
    preset: Preset
    labels: tuple[str, ...]
    method: str
    recipe: Recipe
    steps: int
    seed: int
    threads: int
    overlays: Path
    unlabelled: Mapping[str, Path]
    min_spacing: float
    entropy_of: Mapping[str, Path]
    features_of: Mapping[str, Path]
    encoder: EncoderStart | None = None
    refine_by: tuple[Path, int] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a training found: fields as in ``JobResult``; ``refined`` has Dice, HD95 and ASD of refined masks."""

    seconds: float
    trained_with: str
    cases: tuple[str, ...]
    dice: tuple[tuple[float, ...], ...]
    hd95: tuple[tuple[float, ...], ...]
    overlays: tuple[str, ...]
    entropies: Mapping[str, tuple[float, ...]]
    features: Mapping[str, tuple[float, ...]]
    asd: tuple[tuple[float, ...], ...]
    remarks: tuple[str, ...]
    refined: tuple[Rows, Rows, Rows] | None = None


def training_of(
    pairs: Sequence[Mapping[str, str]],
    cases: Mapping[str, Mapping[str, str]],
    preset: Preset,
    labels: tuple[str, ...],
    method: str,
    recipe: Recipe,
    steps: int,
    seed: int,
    threads: int,
    out: Path,
    unlabelled: Mapping[str, Path],
    min_spacing: float,
    entropy_of: Mapping[str, Path],
    features_of: Mapping[str, Path],
    encoder: EncoderStart | None = None,
    refine_by: tuple[Path, int] | None = None,
) -> Training:
    """The training on these pairs, whatever their order; arguments as the attributes of :class:`Training`.

    Raises:
        UserError: a file is gone or cannot be read.
    """
    ordered = tuple(sorted(pairs, key=lambda pair: pair["image"]))
    files = [_contents(pair) for pair in (*ordered, *cases.values())]
    decides = [files, list(cases), asdict(preset), labels, steps, seed, threads, asdict(recipe)]
    if method != SUPERVISED:  # whose digests are those of results that were written before there were methods
        version = METHODS[method].version
        decides += [method if version == 1 else f"{method} {version}"]
        decides += [[_content(str(unlabelled[image])) for image in sorted(unlabelled)]]
    if encoder is not None:
        decides += [encoder.id]
    if min_spacing:  # left out as before it could be told
        decides += [min_spacing]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    return Training(
        digest=digest,
        pairs=ordered,
        cases=cases,
        preset=preset,
        labels=labels,
        method=method,
        recipe=recipe,
        steps=steps,
        seed=seed,
        threads=threads,
        overlays=out / "overlays" / digest,
        unlabelled=unlabelled,
        min_spacing=min_spacing,
        entropy_of=entropy_of,
        features_of=features_of,
        encoder=encoder,
        refine_by=refine_by,
    )


def content_of(cases: Mapping[str, Mapping[str, str]]) -> str:
    """A digest of what the files of these cases hold, wherever they lie; raises as :func:`training_of`."""
    contents = {case: _contents(paths) for case, paths in cases.items()}
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:10]


def run_training(training: Training, device: torch.device | None = None) -> Outcome:
    """Train, score every test case, draw the worst, and look at what is unlabelled.

    Raises:
        UserError: a label or a test case cannot be used.
    """
    began = time.monotonic()
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(training.threads)
    # Before the training, so that weights that cannot be used cost none.
    segmenter = None if training.refine_by is None else _segmenter(*training.refine_by, device)
    with remarks() as said:
        network, plan = trained_network(training, _cache(device), device)
    rows: list[LabelScores] = []
    refined: list[LabelScores] = []
    worst: list[tuple[float, str, ScoredCase]] = []
    for case, paths in training.cases.items():
        scored = score(network, plan, training.preset, paths, device, segmenter)
        rows.append((scored.dice, scored.hd95, scored.asd))
        if scored.refined is not None:
            refined.append(scored.refined)
        if not np.isnan(scored.dice).all():
            worst.append((float(np.nanmean(scored.dice)), case, scored))
            worst = sorted(worst, key=lambda one: one[:2])[:OVERLAYS]  # volumes are large: no more are held
    seen = (network, plan, training.preset, device)
    entropies = dict(image_class_entropies(training.entropy_of, *seen))
    features = dict(image_features(training.features_of, *seen)) if training.features_of else {}
    for _, case, scored in worst:
        write_atomic(
            training.overlays / f"{case}.png",
            overlay(scored.image, scored.truth, scored.prediction, training.labels),
        )
    dice, hd95, asd = _transposed(rows)
    return Outcome(
        seconds=time.monotonic() - began,
        trained_with=f"xssr-strategy {__version__} on {device.type}",
        cases=tuple(training.cases),
        dice=dice,
        hd95=hd95,
        overlays=tuple(case for _, case, _ in worst),
        entropies=finite(entropies),
        features=finite(features),
        asd=asd,
        remarks=tuple(said),
        refined=_transposed(refined) if refined else None,
    )


def trained_network(training: Training, kept: PairCache, device: torch.device) -> tuple[nn.Module, SegmentationPlan]:
    """The network of the last step, in evaluation mode, and the plan to use it by.

    Nothing is held back for validation: the labels are the budget.

    Args:
        kept: images read before.

    Raises:
        UserError: a label cannot be used. The server's trainer would leave it out; a comparison would be unfair.
    """
    usable, unusable = usable_pairs(training.pairs, training.preset, training.labels)
    if unusable:
        raise UserError(unusable[0][1])
    method = METHODS[training.method](training.steps, recipe=training.recipe)
    plan = plan_from(usable, training.preset, training.labels, training.min_spacing)
    plan = method.planned(plan, training.preset)
    weights = None if training.encoder is None else _encoder_weights(training.encoder)
    data = TrainingData(training.preset, usable, training.unlabelled, kept, encoder=weights)
    return train(method, data, plan, training.seed, device), plan


def _transposed(rows: Sequence[LabelScores]) -> tuple[Rows, Rows, Rows]:
    """Dice, HD95 and ASD of all cases."""
    return tuple(one[0] for one in rows), tuple(one[1] for one in rows), tuple(one[2] for one in rows)


def _encoder_weights(wanted: EncoderStart) -> Mapping[str, Tensor]:
    """Of the encoder that a training is to begin with.

    Raises:
        UserError: another one lies there.
    """
    found = load_encoder(wanted.path)
    if found.id != wanted.id:
        raise UserError(f"{wanted.path}: holds {found.id}, not {wanted.id} with which the training begins; run again.")
    return found.encoder.state_dict()


@cache
def _segmenter(weights: Path, side: int, device: torch.device) -> BoxSegmenter:
    """One for all trainings of a process."""
    from xssr_strategy.segmentation.refinement.sam2 import Sam2Boxes  # whose library takes seconds

    return Sam2Boxes(weights, side, device)


@cache
def _cache(device: torch.device) -> MemoryCache:
    """One for all trainings of a process."""
    return MemoryCache(device)


def _contents(pair: Mapping[str, str]) -> list[str]:
    """Of image and label, and the names of the label's numbers where they are told."""
    return [_content(pair["image"]), _content(pair["label"]), *names_of(pair)]


def _content(path: str) -> str:
    return _read(path, fingerprint(Path(path)))


@cache
def _read(path: str, state: str) -> str:
    """The digest of a file, read once for each state that it is found in; another one once it is read otherwise."""
    digest, version = content_digest(Path(path)), last_change(Path(path))
    return digest if version == 1 else f"{digest} r{version}"
