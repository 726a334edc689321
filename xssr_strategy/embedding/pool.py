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
from xssr_strategy.embedding.workers import Embedded, EmbeddingFunction, embed_batch
from xssr_strategy.errors import UserError
from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.journal import ReadingJournal
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.images.thumbnail_store import Thumbnail, ThumbnailStore
from xssr_strategy.images.versions import READING, kept_as, last_change, parse_kept
from xssr_strategy.parallel.images import EndsProcess, Workers, map_images

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
    workers: EmbeddingWorkers | None = None,
) -> EmbeddingReport:
    """Give every image of the pool a vector; what has one already is only looked at.

    An image that cannot be read, or by which the process died before, is set aside with its reason. Vectors are written
    in batches, so a kill costs at most one. What an image gave that is read otherwise now is made again.

    Args:
        images: id -> path; at most three batches of them are in memory.
        on_image: called with (images done, images in the pool) at the start of work and after each batch.
        device: a GPU if there is one, by default.
        thumbnails: given, small pictures of the images embedded now are kept there, which costs no reading.
        workers: given, other processes read and embed, and this one writes.

    Raises:
        UserError: the processes are ended again and again.

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
    run = _Run(domain, checkpoint, store, present, thumbnails)
    if todo:
        on_image(unchanged, len(images))
    found = run.in_this_process(todo, device) if workers is None else run.by_workers(todo, workers, device)
    for batch in found:
        embedded += run.write(batch)
        on_image(unchanged + embedded + len(run.failed), len(images))
    return EmbeddingReport(embedded, unchanged, run.failed)


@dataclass(frozen=True)
class EmbeddingWorkers:
    """Processes that embed.

    Attributes:
        processes: how many, or on which cluster.
        encoder: checkpoint file, which they load.
    """

    processes: Workers
    encoder: Path


Found = Iterable[tuple[str, Embedded | UnreadableImage]]


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
        thumbnails: ThumbnailStore | None,
    ) -> None:
        self._domain, self._checkpoint, self._present = domain, checkpoint, present
        self._store, self._thumbnails = store, thumbnails
        self._folder = store.path.parent
        self.failed: dict[str, str] = {}

    def in_this_process(self, images: Mapping[str, Path], device: torch.device | None) -> Iterator[Found]:
        """What is found of a batch, read while the one before is embedded; each is emptied before the next is begun."""
        device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoder, preset = self._checkpoint.encoder.to(device), self._checkpoint.preset
        batch: dict[str, Tensor] = {}
        with ReadingJournal(self._folder) as journal:
            read = journal.guarded(partial(encoder.read, preset=preset))
            for image, values in read_ahead(images, read, ahead=2 * encoder.batch_size):
                if isinstance(values, UnreadableImage):
                    yield [(image, values)]
                    continue
                batch[image] = values
                if len(batch) == encoder.batch_size:
                    yield embed_batch(encoder, batch, device, self._thumbnails is not None).items()
                    batch.clear()  # so that never two of them are in memory
            if batch:
                yield embed_batch(encoder, batch, device, self._thumbnails is not None).items()

    def by_workers(
        self, images: Mapping[str, Path], workers: EmbeddingWorkers, device: torch.device | None
    ) -> Iterator[Found]:
        """The same, of batches in the order in which other processes end them.

        What they could not read is read once more here: another machine may lack the folder, and several processes
        memory.
        """
        encoder = self._checkpoint.encoder
        function = EmbeddingFunction(workers.encoder, self._checkpoint.id, self._thumbnails is not None)
        unread: dict[str, Path] = {}
        for batch in map_images(function, images, workers.processes, encoder.batch_size):
            unreadable = {image for image, one in batch if isinstance(one, UnreadableImage)}
            ending = {image for image, one in batch if isinstance(one, EndsProcess)}
            unread.update({image: images[image] for image in unreadable - ending})
            yield [pair for pair in batch if pair[0] not in unread]
        yield from self.in_this_process(unread, device)

    def write(self, found: Found) -> int:
        """Keep the vectors of a batch and its pictures, and set aside what could not be read; how many vectors."""
        embedded: dict[str, Embedded] = {}
        for image, one in found:
            if isinstance(one, UnreadableImage):
                state = failure_state(self._checkpoint.preset, self._present[image])
                self._store.set_aside(self._domain, image, state, str(one))
                self.failed[image] = str(one)
            else:
                embedded[image] = one
        states = {image: kept_as(self._present[image]) for image in embedded}
        if self._thumbnails is not None:  # first: a picture that is there is not made again
            seen = {image: one.picture for image, one in embedded.items() if one.picture is not None}
            self._thumbnails.put(self._domain, [Thumbnail(image, states[image], seen[image]) for image in seen])
        vectors = [Vector(image, states[image], one.vector) for image, one in embedded.items()]
        self._store.put(self._domain, self._checkpoint.id, vectors)
        return len(embedded)
