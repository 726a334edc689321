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
from xssr_strategy.images.versions import READING, kept_as, last_change, parse_kept

_CONFIRMED = 100  # images at a time whose vectors are found right; what a kill may cost (our choice)


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

    A failure belongs to the preset too: under another one the image may well be readable. A vector of an earlier
    reading counts as none until :func:`confirm_vectors` has looked at its image.
    """
    present = {}
    for image, path in images.items():
        with suppress(UserError):  # deleted since it was listed
            present[image] = fingerprint(path)
    older = store.readings(domain, encoder)
    states = store.fingerprints(domain, encoder)
    known = {image: parse_kept(kept)[0] for image, kept in states.items() if image not in older}
    failed = store.failures(domain)
    todo = {
        image: path
        for image, path in images.items()
        if image in present
        and known.get(image) != present[image]
        and failed.get(image, ("",))[0] != failure_state(preset, present[image])
    }
    return todo, present


def confirm_vectors(images: Mapping[str, Path], domain: str, encoder: str, store: EmbeddingStore) -> list[str]:
    """Keep the vectors of an earlier reading whose images are still read in that way, by a look at each header.

    Nothing is known of a later one: its vectors are not kept.

    Returns:
        The images that are read otherwise now, and have to be embedded again.
    """
    states, older = store.fingerprints(domain, encoder), store.readings(domain, encoder)
    looked_at = [(image, path) for image, path in images.items() if image in older]
    otherwise: list[str] = []
    for begin in range(0, len(looked_at), _CONFIRMED):
        same: list[str] = []
        for image, path in looked_at[begin : begin + _CONFIRMED]:
            with suppress(UserError):  # deleted since it was listed
                if parse_kept(states[image])[0] == fingerprint(path):
                    (same if last_change(path) <= older[image] < READING else otherwise).append(image)
        store.confirm(domain, encoder, same)
    return otherwise


def failure_state(preset: Preset, present: str) -> str:
    """What a failure is kept under: preset, version of the reading, and fingerprint."""
    return f"{preset.name} r{READING} {present}"


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
    on. Vectors are written in batches as they are made, so a kill costs at most one batch. What an earlier reading made
    of an image that is read otherwise now is made again.

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
    confirm_vectors(images, domain, checkpoint.id, store)
    todo, present = outstanding(images, domain, checkpoint.id, checkpoint.preset, store)
    unchanged, embedded = len(images) - len(todo), 0
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = checkpoint.encoder.to(device)
    run = _Run(domain, checkpoint, store, present, device, thumbnails)
    if todo:
        on_image(unchanged, len(images))
    with ReadingJournal(store.path.parent) as journal:
        read = journal.guarded(partial(encoder.read, preset=checkpoint.preset))
        for batch in run.batches(read_ahead(todo, read, ahead=2 * encoder.batch_size), encoder.batch_size):
            run.embed(batch)
            embedded += len(batch)
            on_image(unchanged + embedded + len(run.failed), len(images))
    return EmbeddingReport(embedded, unchanged, run.failed)


class _Run:
    """One run over a pool.

    Args:
        present: image -> fingerprint.

    Attributes:
        failed: image -> reason of those set aside so far.
    """

    def __init__(
        self,
        domain: str,
        checkpoint: EncoderCheckpoint,
        store: EmbeddingStore,
        present: Mapping[str, str],
        device: torch.device,
        thumbnails: ThumbnailStore | None,
    ) -> None:
        self._domain, self._checkpoint, self._present = domain, checkpoint, present
        self._store, self._device, self._thumbnails = store, device, thumbnails
        self.failed: dict[str, str] = {}

    def batches(self, found: Iterable[tuple[str, Tensor | UnreadableImage]], size: int) -> Iterator[dict[str, Tensor]]:
        """The images that could be read, ``size`` at a time; each batch is emptied before the next is begun.

        An image that could not be read is set aside at once.
        """
        batch: dict[str, Tensor] = {}
        for image, values in found:
            if isinstance(values, UnreadableImage):
                state = failure_state(self._checkpoint.preset, self._present[image])
                self._store.set_aside(self._domain, image, state, str(values))
                self.failed[image] = str(values)
                continue
            batch[image] = values
            if len(batch) == size:
                yield batch
                batch.clear()  # so that never two of them are in memory
        if batch:
            yield batch

    def embed(self, batch: Mapping[str, Tensor]) -> None:
        """Write the vectors of a batch, and its small pictures if they are kept."""
        encoder, present = self._checkpoint.encoder, self._present
        with torch.inference_mode():
            vectors = encoder.encode(torch.stack(list(batch.values())).to(self._device)).float().cpu().numpy()
        states = {image: kept_as(present[image]) for image in batch}
        if self._thumbnails is not None:  # first: a picture that is there is not made again
            seen = {image: small_picture(encoder.picture(values)) for image, values in batch.items()}
            self._thumbnails.put(self._domain, [Thumbnail(image, states[image], seen[image]) for image in batch])
        found = [Vector(image, states[image], vector) for image, vector in zip(batch, vectors, strict=True)]
        self._store.put(self._domain, self._checkpoint.id, found)
