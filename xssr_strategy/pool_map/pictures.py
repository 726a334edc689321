"""Small pictures for the map: those that are missing are made, those of images that are gone removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.pictures import plane_of, small_picture
from xssr_strategy.images.preprocessing import encoder_input
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.images.thumbnail_store import Thumbnail, ThumbnailStore
from xssr_strategy.images.versions import kept_as

_BATCH = 64


def complete(
    target: Mapping[str, Path],
    source: Mapping[str, Path],
    preset: Preset,
    encoder: str,
    store: EmbeddingStore,
    thumbnails: ThumbnailStore,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Read the images that have a vector but no picture: those that were embedded before pictures were kept.

    Args:
        target, source: id -> path.
        on_image: called with (pictures made, pictures to make) after each image; not at all if none is missing.

    Returns:
        Pictures made.
    """
    missing = []
    for domain, images in ((SOURCE, source), (TARGET, target)):
        embedded, known = store.fingerprints(domain, encoder), thumbnails.fingerprints(domain)
        thumbnails.forget(domain, known.keys() - embedded.keys() - images.keys())
        missing.append({image: path for image, path in images.items() if image in embedded.keys() - known.keys()})
    total, done = sum(len(images) for images in missing), 0
    for domain, images in zip((SOURCE, TARGET), missing, strict=True):
        batch: list[Thumbnail] = []
        for image, values in read_ahead(images, partial(encoder_input, preset=preset)):
            done += 1
            on_image(done, total)
            if isinstance(values, UnreadableImage):
                continue
            with suppress(UserError):  # deleted a moment ago
                batch.append(Thumbnail(image, kept_as(fingerprint(images[image])), small_picture(plane_of(values))))
            if len(batch) == _BATCH:
                thumbnails.put(domain, batch)
                batch.clear()
        thumbnails.put(domain, batch)
    return total
