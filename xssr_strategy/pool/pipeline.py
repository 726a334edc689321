"""From images to a worklist: train the encoder if there is none, embed what is new, rank the pool.

The server's scoring method runs :func:`update`, the command line its first half, :func:`prepare`. A
second run over an unchanged pool does nothing but look.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from filelock import FileLock

from xssr_strategy.archive.pool import ArchivePool, SeriesQuery
from xssr_strategy.archive.query import Query
from xssr_strategy.embedding.checkpoint import EncoderCheckpoint, load_encoder, save_encoder
from xssr_strategy.embedding.encoder import is_foundation
from xssr_strategy.embedding.pool import EmbeddingReport, EmbeddingWorkers, confirm_vectors, embed_pool
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import detect_preset, preset_by_name
from xssr_strategy.images.journal import ReadingJournal
from xssr_strategy.images.left_out import Told
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.parallel.images import Workers
from xssr_strategy.pool import encoder_training
from xssr_strategy.pool.cold_start_plan import forget_plan
from xssr_strategy.pool.encoder_training import Progress
from xssr_strategy.pool.patients import learn_patients
from xssr_strategy.pool.ranking import Ranking, follows, rank, ranking_key, read_ranking, write_ranking
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.settings import Settings

logger = logging.getLogger(__name__)

FETCHING = "fetching"
EMBEDDING = "embedding"
RANKING = "ranking"

_PRESET = "preset"


def source_images(settings: Settings, progress: Progress | None = None, told: Told | None = None) -> dict[str, Path]:
    """The images of ``--conf source``; none without one.

    Args:
        progress: given, series of an archive are fetched first, and those that cannot be are left out.
        told: as in :func:`find_images`.

    Raises:
        UserError: there is no image, or the archive does not answer.
    """
    if settings.source is None:
        return {}
    if isinstance(settings.source, Query):
        images = _source_series(settings.source, progress)
    else:
        images = find_images(settings.source, recursive=True, told=told)
    if not images:
        raise UserError(f"--conf source {settings.source}: no image is there; name unlabelled images.")
    return images


def _source_series(query: Query, progress: Progress | None) -> dict[str, Path]:
    series = SeriesQuery(query, "--conf source")
    images = series.files()
    if progress is None:
        return images
    for uid, reason in series.fetch(lambda done, total: progress(FETCHING, done, total)).items():
        logger.warning("Source series %s is left out: %s", uid, reason)
        del images[uid]
    return images


def prepare(
    target: Mapping[str, Path],
    settings: Settings,
    preset: Preset,
    workspace: Workspace,
    store: EmbeddingStore,
    progress: Progress,
    workers: Workers | None = None,
) -> tuple[EncoderCheckpoint, EmbeddingReport]:
    """Train the encoder if there is none, and embed what is new of source and target.

    One process at a time works on a workspace; another waits here and then finds the work done.

    Args:
        target: id -> path of every image of the pool, labelled ones included.
        workers: who embeds; by default as many processes as the settings say, or this one.

    Raises:
        UserError: no image can be read, the source folder is empty, or the workers are ended again and again.
    """
    workers = workers or Workers(settings.embed_workers)
    source = source_images(settings, progress)
    path = workspace.encoder(settings, preset)
    workspace.root.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.lock):
        if not path.exists():
            encoder_training.train(source or target, settings, preset, workspace, progress)
        checkpoint = load_encoder(path)
        if checkpoint.outdated:
            logger.info("The weights of encoder %s have changed: the images are embedded again.", settings.encoder)
            save_encoder(path, settings.encoder, checkpoint.encoder, checkpoint.preset, checkpoint.settings)
        remembered = {"id": checkpoint.id, "written": path.stat().st_mtime_ns}
        before = store.read_note(encoder_note(path))
        if before != remembered:
            store.note(encoder_note(path), remembered)
        store.forget(SOURCE, checkpoint.id, store.fingerprints(SOURCE, checkpoint.id).keys() - source.keys())
        of_source = len(confirm_vectors(source, SOURCE, checkpoint.id, store))
        if of_target := len(confirm_vectors(target, TARGET, checkpoint.id, store)):
            forget_plan(store)
        if of_source + of_target:
            _tell_otherwise(of_source + of_target, path, settings)
        show, pictures = partial(progress, EMBEDDING), ThumbnailStore(workspace.thumbnails)
        by = None if workers == Workers() else EmbeddingWorkers(workers, path.absolute())
        embed_pool(source, SOURCE, checkpoint, store, show, thumbnails=pictures, workers=by)
        report = embed_pool(target, TARGET, checkpoint, store, show, thumbnails=pictures, workers=by)
        pictures.close()
        if before is not None and before["id"] != checkpoint.id:
            store.forget_encoder(before["id"])
    if not store.fingerprints(TARGET, checkpoint.id).keys() & target.keys():
        reasons = (reason for image, (_, reason) in store.failures(TARGET).items() if image in target)
        raise UserError(f"none of the {len(target)} images can be read, for example {next(reasons, 'they are gone')}")
    return checkpoint, report


def _tell_otherwise(count: int, encoder: Path, settings: Settings) -> None:
    """Say how many images an earlier version has read otherwise."""
    learnt = f" The encoder may have learnt from them: delete {encoder} to have it trained anew."
    logger.warning(
        "%d images were read otherwise by an earlier version and are embedded again.%s",
        count,
        "" if is_foundation(settings.encoder) else learnt,
    )


def update(
    target: Mapping[str, Path],
    labelled: Collection[str],
    settings: Settings,
    preset: Preset,
    workspace: Workspace,
    store: EmbeddingStore,
    progress: Progress = lambda stage, done, total: None,
    archive: ArchivePool | None = None,
) -> Ranking:
    """Bring encoder, vectors and the stored ranking up to date, doing only what is missing.

    Args:
        target: id -> path of every image of the pool, labelled ones included.
        labelled: ids that are annotated already.
        archive: that the images are in, if they are; it says of whom they are.

    Raises:
        UserError: no image can be read, the source folder is empty, or patients are asked for and nobody names them.
    """
    checkpoint, _ = prepare(target, settings, preset, workspace, store, progress)
    ranking = read_ranking(store)
    known = store.fingerprints(TARGET, checkpoint.id).keys() & target.keys()
    patients = learn_patients(target, settings, store, archive)
    key = ranking_key(checkpoint.id, target, settings, store, patients)
    if ranking is None or ranking.key != key or not follows(ranking, known, set(labelled)):
        progress(RANKING, 0, 1)
        ranking = rank(checkpoint.id, target, labelled, settings, store, keep_terms=True, patients=patients)
        write_ranking(store, ranking)
    return ranking


def choose_preset(
    images: Mapping[str, Path], settings: Settings, store: EmbeddingStore, detected: str | None = None
) -> Preset:
    """The preset asked for, or the one detected at first and kept: later images must not change what was trained.

    Args:
        detected: name of the preset that suits, if that is known without a look at the images.

    Raises:
        UserError: not one image can be read.
    """
    if settings.preset != "auto":
        return preset_by_name(settings.preset)
    name = store.read_note(_PRESET)
    if name is None:
        with ReadingJournal(store.path.parent) as journal:
            name = detected or detect_preset(list(images.values()), read=journal.guarded(read_image)).name
        store.note(_PRESET, name)
    return preset_by_name(name)


def encoder_note(path: Path) -> str:
    """Name of the store's note that holds the id of a checkpoint, and the file time to which it belongs."""
    return f"encoder {path.name}"
