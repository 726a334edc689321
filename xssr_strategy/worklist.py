"""From images to a worklist: train the encoder if there is none, embed what is new, rank the pool.

The server's scoring method and the command line both run :func:`update`. A second run over an
unchanged pool does nothing but look.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import EncoderCheckpoint, load_encoder, save_encoder
from xssr_strategy.embedding.encoder import MaskedAutoencoder
from xssr_strategy.embedding.inputs import training_inputs
from xssr_strategy.embedding.pool import EmbeddingReport, embed_pool
from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.embedding.training import COLLAPSED, TrainingSettings, encode_all, mean_cosine, train_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images, fingerprint
from xssr_strategy.images.preset import Preset
from xssr_strategy.selection import XSSR
from xssr_strategy.settings import Settings
from xssr_strategy.workspace import Workspace

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); the stages are the constants below."""

TRAINING = "training encoder"
EMBEDDING = "embedding"
RANKING = "ranking"

_TRAINING_IMAGES = 2000  # at most, drawn with the seed: more would only fill the disk (our choice)
_RANKED = 1000  # picks ranked ahead at most; the ranking is renewed long before they are used up
_SLACK = 10  # picks that may be out with annotators before labels count as out of order
_NOTE = "ranking"


@dataclass(frozen=True)
class RankedImage:
    """One pick of the worklist; the terms are in [0, 1], as they entered the score."""

    image: str
    rank: int
    score: float
    density: float
    novelty: float
    diversity: float


@dataclass(frozen=True)
class Ranking:
    """The worklist of a pool.

    Attributes:
        key: digest of all that the ranking was made from, the labels aside.
        encoder: id of the encoder checkpoint.
        picks: in pick order.
        labelled: images that had a label when the ranking was made.
        pool: images in the pool.
        budget: picks at which alpha was calibrated.
        novelty: False without a source: novelty is off.
        alpha, calibration: as in ``Selection``.
    """

    key: str
    encoder: str
    picks: tuple[RankedImage, ...]
    labelled: frozenset[str]
    pool: int
    budget: int
    novelty: bool
    alpha: float
    calibration: tuple[tuple[float, float, float], ...]


def source_images(settings: Settings) -> dict[str, Path]:
    """The images of ``--conf source``; none without one.

    Raises:
        UserError: the folder holds no image.
    """
    if settings.source is None:
        return {}
    images = find_images(settings.source, recursive=True)
    if not images:
        raise UserError(f"--conf source {settings.source}: no image is there; name a folder of unlabelled images.")
    return images


def prepare(
    target: Mapping[str, Path],
    settings: Settings,
    preset: Preset,
    workspace: Workspace,
    store: EmbeddingStore,
    progress: Progress,
) -> tuple[EncoderCheckpoint, EmbeddingReport]:
    """Train the encoder if there is none, and embed what is new of source and target.

    One process at a time works on a workspace; another waits here and then finds the work done.

    Args:
        target: id -> path of every image of the pool, labelled ones included.

    Raises:
        UserError: no image can be read, or the source folder is empty.
    """
    source = source_images(settings)
    path = workspace.encoder(settings, preset)
    workspace.root.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.lock):
        if not path.exists():
            train(source or target, settings, preset, workspace, progress)
        checkpoint = load_encoder(path)
        remembered = {"id": checkpoint.id, "written": path.stat().st_mtime_ns}
        if store.read_note(encoder_note(path)) != remembered:
            store.note(encoder_note(path), remembered)
        embed_pool(source, SOURCE, checkpoint, store)
        report = embed_pool(target, TARGET, checkpoint, store, lambda done, total: progress(EMBEDDING, done, total))
    if not store.fingerprints(TARGET, checkpoint.id):
        reasons = [reason for _, reason in store.failures(TARGET).values()]
        raise UserError(f"none of the {len(target)} images can be read, for example {reasons[0]}")
    return checkpoint, report


def update(
    target: Mapping[str, Path],
    labelled: Collection[str],
    settings: Settings,
    preset: Preset,
    workspace: Workspace,
    store: EmbeddingStore,
    progress: Progress = lambda stage, done, total: None,
) -> Ranking:
    """Bring encoder, vectors and the stored ranking up to date, doing only what is missing.

    Args:
        target: id -> path of every image of the pool, labelled ones included.
        labelled: ids that are annotated already.

    Raises:
        UserError: no image can be read, or the source folder is empty.
    """
    checkpoint, _ = prepare(target, settings, preset, workspace, store, progress)
    ranking = read_ranking(store)
    if ranking is None or not is_current(ranking, checkpoint.id, target, labelled, settings, store):
        progress(RANKING, 0, 1)
        ranking = rank(checkpoint, target, labelled, settings, store)
        store.note(_NOTE, {**asdict(ranking), "labelled": sorted(ranking.labelled)})
    return ranking


def train(
    images: Mapping[str, Path], settings: Settings, preset: Preset, workspace: Workspace, progress: Progress
) -> None:
    """Train the encoder of these settings on unlabelled images and write its checkpoint."""
    path = workspace.encoder(settings, preset)
    names = sorted(images)
    if len(names) > _TRAINING_IMAGES:
        drawn = np.random.default_rng(settings.seed).choice(len(names), _TRAINING_IMAGES, replace=False)
        names = [names[i] for i in sorted(drawn)]
    chosen = {name: images[name] for name in names}
    encoder = build_encoder(settings.encoder, preset, settings.seed)
    facts: dict[str, Any] = {"trained_on": len(chosen), "images": images_digest(images)}
    if isinstance(encoder, MaskedAutoencoder):
        cache = path.with_suffix(f".{facts['images'][:8]}.npy")
        state = path.with_suffix(".training")
        progress(TRAINING, 0, settings.encoder_steps)
        inputs = training_inputs(chosen, preset, cache, lambda done, total: None)
        training = TrainingSettings(steps=settings.encoder_steps, seed=settings.seed)
        loss = train_encoder(encoder, inputs, training, state, lambda step, steps: progress(TRAINING, step, steps))
        cosine = mean_cosine(encode_all(encoder, inputs[:200]))
        if cosine > COLLAPSED and len(inputs) > 1:
            logger.warning(
                "The embedding has collapsed or nearly so (mean pairwise cosine %.4f, above %.2f): it may tell images "
                "apart poorly. Train longer (--conf encoder_steps), on more varied images, or with another encoder.",
                cosine,
                COLLAPSED,
            )
        facts |= {**asdict(training), "loss": loss, "mean_cosine": cosine}
        logger.info("Encoder trained on %d images: loss %.4f, mean cosine %.3f.", len(inputs), loss, cosine)
        save_encoder(path, settings.encoder, encoder, preset, facts)
        state.unlink(missing_ok=True)
        cache.unlink(missing_ok=True)
    else:
        save_encoder(path, settings.encoder, encoder, preset, facts)


def images_digest(images: Mapping[str, Path]) -> str:
    """A digest of the images' ids and sizes; a copy of the folder has the same."""
    sizes = (f"{name}:{fingerprint(path).rpartition('-')[0]}" for name, path in sorted(images.items()))
    return hashlib.sha256("\n".join(sizes).encode()).hexdigest()


def encoder_note(path: Path) -> str:
    """Name of the store's note that holds the id of a checkpoint, and the file time to which it belongs."""
    return f"encoder {path.name}"


def read_ranking(store: EmbeddingStore) -> Ranking | None:
    """The ranking last written, or None."""
    note = store.read_note(_NOTE)
    if note is None:
        return None
    picks = tuple(RankedImage(**pick) for pick in note["picks"])
    calibration = tuple(tuple(point) for point in note["calibration"])
    return Ranking(**{**note, "picks": picks, "labelled": frozenset(note["labelled"]), "calibration": calibration})


def is_current(
    ranking: Ranking,
    encoder: str,
    target: Collection[str],
    labelled: Collection[str],
    settings: Settings,
    store: EmbeddingStore,
) -> bool:
    """Whether a fresh ranking would go on as this one does.

    It would while vectors and rule are the same and labels have come in the order of the ranking,
    but for a few picks that are out with annotators.
    """
    known = store.fingerprints(TARGET, encoder).keys() & set(target)
    done = known & set(labelled)
    if ranking.key != _ranking_key(encoder, target, settings, store) or not ranking.labelled <= done:
        return False
    new = done - ranking.labelled
    expected = {pick.image for pick in ranking.picks[: len(new) + _SLACK]}
    left = len(ranking.picks) - len(new)
    return new <= expected and (left > _SLACK or len(ranking.picks) + len(ranking.labelled) >= len(known))


def rank(
    checkpoint: EncoderCheckpoint,
    target: Collection[str],
    labelled: Collection[str],
    settings: Settings,
    store: EmbeddingStore,
) -> Ranking:
    """Rank the embedded images of ``target`` by XSSR; labelled ones count as picked already."""
    images, vectors = store.vectors(TARGET, checkpoint.id, target)
    _, known = store.vectors(SOURCE, checkpoint.id, source_images(settings))
    standardised, reference = standardise(vectors, known if len(known) else None)
    done = set(labelled) & set(images)
    rows = [row for row, image in enumerate(images) if image in done]
    budget = settings.budget.of(len(target))
    count = min(len(images) - len(rows), max(_RANKED, 2 * budget))
    picks: tuple[RankedImage, ...] = ()
    alpha: float = 0.0
    calibration: tuple[tuple[float, float, float], ...] = ()
    if count:
        rule = XSSR(settings.alpha, settings.combination, calibration_budget=max(1, budget - len(rows)))
        selection = rule.select(standardised, count, reference, rows)
        assert selection.alpha is not None
        alpha, calibration = selection.alpha, selection.calibration
        terms = selection.terms
        picks = tuple(
            RankedImage(
                images[row],
                len(rows) + place + 1,
                float(selection.scores[place]),
                float(terms["density"][place]),
                float(terms["novelty"][place]),
                float(terms["diversity"][place]),
            )
            for place, row in enumerate(selection.indices)
        )
    return Ranking(
        key=_ranking_key(checkpoint.id, target, settings, store),
        encoder=checkpoint.id,
        picks=picks,
        labelled=frozenset(done),
        pool=len(target),
        budget=budget,
        novelty=reference is not None,
        alpha=alpha,
        calibration=calibration,
    )


def reason(pick: RankedImage, ranking: Ranking) -> str:
    """One plain sentence for the annotator: why this image."""
    typical = _grade(
        pick.density, "rare in the pool", "fairly typical of the pool", "typical of many images in the pool"
    )
    different = _grade(pick.diversity, "close to", "somewhat different from", "very different from")
    parts = [typical]
    if ranking.novelty:
        parts.append(_grade(pick.novelty, "familiar from", "partly new to", "new to") + " the source domain")
    parts.append(f"{different} what was picked before" if pick.rank > 1 else "the first pick")
    return f"Pick {pick.rank} of {ranking.pool}: {', '.join(parts[:-1])} and {parts[-1]}."


def _ranking_key(encoder: str, target: Collection[str], settings: Settings, store: EmbeddingStore) -> str:
    """Digest of what a ranking depends on, labels aside: encoder, rule and the state of every image."""
    wanted = set(target)
    states = sorted(item for item in store.fingerprints(TARGET, encoder).items() if item[0] in wanted)
    sources = sorted(store.fingerprints(SOURCE, encoder).items())
    rule = (settings.alpha, settings.combination, str(settings.budget))
    return hashlib.sha256(repr((encoder, rule, states, sources)).encode()).hexdigest()


def _grade(value: float, low: str, middle: str, high: str) -> str:
    return low if value < 1 / 3 else middle if value < 2 / 3 else high
