"""Files that are there whole or not at all, however the process that writes them ends."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_PARTIAL = ".partial"
_ABANDONED = 3600.0  # seconds after which an unfinished file is taken for one whose writer was killed (our choice)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden file beside ``path`` to write to; it takes the place of ``path`` when the block ends.

    A reader sees what was there before or all of the new, also after a power cut: the bytes are on the disk before the
    name is. Where the block or the disk fails, what was there before stays.

    Raises:
        OSError: there is no space, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{_PARTIAL}")
    try:
        yield partial
        _to_disk(partial)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # of a disk that has become read-only: the reason is on its way already
            partial.unlink(missing_ok=True)
        raise
    _to_disk(path.parent)


def write_atomic(path: Path, content: bytes | memoryview) -> None:
    """Write a file in one step, see :func:`replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def copy_atomic(source: Path, path: Path) -> None:
    """Copy a file in one step, see :func:`replacing`."""
    with replacing(path) as partial:
        shutil.copyfile(source, partial)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of writers that were killed, in this folder itself."""
    with suppress(OSError):  # a disk that cannot be written is told of where something has to be written
        for partial in folder.glob(f".*{_PARTIAL}"):
            if partial.stat().st_mtime < time.time() - _ABANDONED:
                partial.unlink()


@contextmanager
def locked_temporary_folder(path: Path, timeout: float = -1) -> Iterator[None]:
    """Hold a folder, which the block may make and fill; it is gone when the block ends.

    Args:
        path: of the folder.
        timeout: seconds to wait for another process that holds it; without an end if negative.

    Raises:
        Timeout: another process holds it.
        OSError: the folder that it lies in cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock, timeout=timeout):
        try:
            yield
        finally:
            shutil.rmtree(path, ignore_errors=True)
            lock.unlink(missing_ok=True)


def remove_unlocked_folders(parent: Path, pattern: str) -> None:
    """Remove the :func:`locked_temporary_folder` s of processes that were killed, not of those that run."""
    for folder in parent.glob(pattern):
        with suppress(Timeout), locked_temporary_folder(folder, timeout=0):
            pass


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
