"""Embedding a pool of images through the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from xssr_strategy.embedding.checkpoint import EncoderCheckpoint
from xssr_strategy.embedding.store import EmbeddingStore, Vector
from xssr_strategy.errors import UserError
from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.journal import ReadingJournal
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.pictures import small_picture
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.images.thumbnail_store import Thumbnail, ThumbnailStore


@dataclass(frozen=True)
class EmbeddingReport:
    """What a run over a pool did: images embedded now, found embedded, and set aside now with the reason."""

    embedded: int
    unchanged: int
    failed: Mapping[str, str]


def outstanding(
    images: Mapping[str, Path], domain: str, encoder: str, preset: Preset, store: EmbeddingStore
) -> tuple[dict[str, Path], dict[str, str]]:
    """The images without a vector or a failure of their present state, and every image's fingerprint.

    A failure belongs to the preset too: under another one the image may well be readable.
    """
    present = {}
    for image, path in images.items():
        with suppress(UserError):  # deleted since it was listed
            present[image] = fingerprint(path)
    known = store.fingerprints(domain, encoder)
    failed = store.failures(domain)
    todo = {
        image: path
        for image, path in images.items()
        if image in present
        and known.get(image) != present[image]
        and failed.get(image, ("",))[0] != failure_state(preset, present[image])
    }
    return todo, present


def failure_state(preset: Preset, present: str) -> str:
    """What a failure is kept under: preset and fingerprint."""
    return f"{preset.name} {present}"


def embed_pool(
    images: Mapping[str, Path],
    domain: str,
    checkpoint: EncoderCheckpoint,
    store: EmbeddingStore,
    on_image: Callable[[int, int], None] = lambda done, total: None,
    device: torch.device | None = None,
    thumbnails: ThumbnailStore | None = None,
) -> EmbeddingReport:
    """Give every image of the pool a vector; what has one already is only looked at.

    An image that cannot be read, or by which the process died before, is set aside with its reason and the rest goes
    on. Vectors are written in batches as they are made, so a kill costs at most one batch.

    Args:
        images: id -> path; at most three batches of what the encoder sees of them are in memory.
        on_image: called with (images done, images in the pool) at the start of work and after each batch.
        device: a GPU if there is one, by default.
        thumbnails: given, small pictures of the images embedded now are kept there, which costs no reading.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from PIL import Image
    >>> from xssr_strategy.embedding.catalogue import build_encoder
    >>> from xssr_strategy.images.preset import PRESETS
    >>> preset = PRESETS["xray"]
    >>> checkpoint = EncoderCheckpoint(build_encoder("conv_mae", preset).eval(), "conv_mae-0", preset, {})
    >>> with TemporaryDirectory() as folder:
    ...     images = {name: Path(folder) / f"{name}.png" for name in ("scan1", "scan2", "scan3")}
    ...     for brightness, path in enumerate(images.values(), start=1):
    ...         Image.fromarray(np.uint8(brightness * np.arange(64).reshape(8, 8))).save(path)
    ...     _ = images["scan3"].write_text("no image")
    ...     store = EmbeddingStore(Path(folder) / "embeddings.sqlite")
    ...     first = embed_pool(images, "target", checkpoint, store)
    ...     again = embed_pool(images, "target", checkpoint, store)
    ...     known, vectors = store.vectors("target", checkpoint.id)
    ...     store.close()
    >>> first.embedded, list(first.failed)
    (2, ['scan3'])
    >>> again.embedded  # what has a vector is not read again, nor is what could not be read
    0
    >>> known, vectors.shape
    (['scan1', 'scan2'], (2, 256))
    """
    preset = checkpoint.preset
    todo, present = outstanding(images, domain, checkpoint.id, preset, store)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = checkpoint.encoder.to(device)
    failed: dict[str, str] = {}
    unchanged = done = len(images) - len(todo)
    if todo:
        on_image(done, len(images))
    with ReadingJournal(store.path.parent) as journal:
        read = journal.guarded(partial(encoder.read, preset=preset))
        for batch in _batches(read_ahead(todo, read, ahead=2 * encoder.batch_size), encoder.batch_size):
            if isinstance(batch, _Unreadable):
                store.set_aside(domain, batch.image, failure_state(preset, present[batch.image]), batch.reason)
                failed[batch.image] = batch.reason
                continue
            with torch.inference_mode():
                vectors = encoder.encode(torch.stack(list(batch.values())).to(device)).float().cpu().numpy()
            made = zip(batch, vectors, strict=True)
            store.put(domain, checkpoint.id, [Vector(image, present[image], vector) for image, vector in made])
            if thumbnails is not None:
                seen = {image: small_picture(encoder.picture(values)) for image, values in batch.items()}
                thumbnails.put(domain, [Thumbnail(image, present[image], picture) for image, picture in seen.items()])
            done += len(batch)
            on_image(done + len(failed), len(images))
    return EmbeddingReport(len(todo) - len(failed), unchanged, failed)


@dataclass(frozen=True)
class _Unreadable:
    image: str
    reason: str


def _batches(
    readings: Iterable[tuple[str, Tensor | UnreadableImage]], size: int
) -> Iterator[dict[str, Tensor] | _Unreadable]:
    """Images in batches, the last of which may be smaller; each that cannot be read by itself, at once."""
    batch: dict[str, Tensor] = {}
    for image, values in readings:
        if isinstance(values, UnreadableImage):
            yield _Unreadable(image, str(values))
            continue
        batch[image] = values
        if len(batch) == size:
            yield batch
            batch = {}
    if batch:
        yield batch
