"""What a full, read-only or damaged disk raises, as a sentence."""

from __future__ import annotations

import errno
import sqlite3

FAILURES = (OSError, sqlite3.Error)
"""What to catch for :func:`describe_disk_error`."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def describe_disk_error(error: BaseException) -> str | None:
    """What is wrong with the disk, and the remedy; None if that is not why the error was raised."""
    full, closed, broken, where = False, False, False, "the workspace"
    if isinstance(error, OSError):
        full, closed, broken = error.errno in _FULL, error.errno in _CLOSED, error.errno == errno.EIO
        where = str(error.filename or "the server")
    elif isinstance(error, sqlite3.Error):
        text = str(error)
        full, closed = "is full" in text, "readonly" in text or "unable to open" in text
        broken = not (full or closed)
    if full:
        return f"{where}: the disk is full; make room and try again, what was saved before is safe."
    if closed:
        return f"{where}: cannot be written; make the disk and the folder writable and try again."
    if broken:
        return (
            f"{where}: the disk or a file on it is damaged ({error}); look at the disk and start the server again: it "
            "names the file."
        )
    return None
