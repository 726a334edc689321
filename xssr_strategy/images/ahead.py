"""Images are read in threads while the ones before are being worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from xssr_strategy.images.reading import UnreadableImage

_READERS = 2
_AHEAD = 32  # images held in memory at most

T = TypeVar("T")


def read_ahead(
    images: Mapping[str, Path], read: Callable[[Path], T], ahead: int = _AHEAD
) -> Iterator[tuple[str, T | UnreadableImage]]:
    """Yield (id, what ``read`` gives, or the error) in order, while the next ones are being read.

    Args:
        images: id -> path.
        read: of one file; runs in a thread.
        ahead: results held in memory at most, however many images there are.
    """

    def attempt(path: Path) -> T | UnreadableImage:
        try:
            return read(path)
        except UnreadableImage as error:
            return error

    pending: deque[tuple[str, Future[T | UnreadableImage]]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="reader") as readers:
        try:
            for image, path in images.items():
                pending.append((image, readers.submit(attempt, path)))
                if len(pending) >= ahead:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            for _, future in pending:
                future.cancel()
