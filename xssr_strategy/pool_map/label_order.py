"""In which order the labels of a pool were made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from xssr_strategy.archive.pool import ArchivePool


def in_label_order(images: Collection[str], files: Mapping[str, str], archive: ArchivePool | None) -> list[str]:
    """Labelled images, the one labelled first at the front.

    A label's file tells by the time at which it was written, a segmentation of an archive by when it became known.

    Args:
        images: ids.
        files: id -> label file.
        archive: of the pool, if it is in one.
    """

    def made(image: str) -> tuple[float, str, str]:
        if archive is not None:
            found = archive.labels.segmentation(image)
            return (0.0, "", image) if found is None else (found.recorded, found.made, image)
        try:
            return Path(files[image]).stat().st_mtime, "", image
        except OSError:  # deleted a moment ago
            return 0.0, "", image

    return sorted(images, key=made)
