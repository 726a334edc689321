"""A large JSON file of which little changes: a change is a line in a file beside it, until all is written anew.

The index of a hundred thousand images takes half a second to write, a line no time.
"""

from __future__ import annotations

import errno
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from xssr_strategy.storage.atomic_files import write_atomic

_KEY = "written"
_MARK = re.compile(rf'^\{{\s*"{_KEY}":\s*"([0-9a-f]{{32}})"'.encode())
_START = 100  # bytes in which the mark is

FileState = tuple[int, int, int]


class ChangeLog:
    """A JSON object in a file, and the lines that came after it.

    The object begins with a mark, which is another one each time the file is written, and the lines begin with the mark
    of their file. So lines count for nothing once another program has written the file, or an older one was put back.
    One process at a time may write: whoever uses this holds a lock.

    Args:
        path: of the JSON file; the lines are beside it, in a file whose name ends with ``.changes``.

    >>> from tempfile import TemporaryDirectory
    >>> from xssr_strategy.storage.change_log import ChangeLog
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "index.json"
    ...     log = ChangeLog(path)
    ...     count = log.write(b'{"a": 1}'), log.append({"b": 2}), log.append({"c": 3})
    ...     content, lines = json.loads(path.read_text()), list(ChangeLog(path).lines())
    >>> count
    (0, 1, 2)
    >>> content["a"], lines
    (1, [{'b': 2}, {'c': 3}])
    """

    def __init__(self, path: Path) -> None:
        self.path, self.changes = path, path.with_name(f"{path.name}.changes")

    @property
    def marked(self) -> bool:
        """Whether the file was written by :meth:`write`, so that lines may come after it."""
        return bool(self._mark())

    @property
    def begins_well(self) -> bool:
        """Whether the lines begin with a mark, be it that of another file; so do none at all."""
        content = self._content()
        return not content or bool(self._mark_of(content))

    def write(self, content: bytes) -> int:
        """Write the whole file.

        Args:
            content: a JSON object that is not empty.

        Returns:
            How many lines come after it: none.

        Raises:
            OSError: it cannot be written; what was there is.
        """
        write_atomic(self.path, f'{{"{_KEY}": "{uuid.uuid4().hex}",'.encode() + content.lstrip()[1:])
        with suppress(OSError):  # they have the mark of the file before
            self.changes.unlink(missing_ok=True)
        return 0

    def append(self, change: Mapping[str, Any]) -> int:
        """Add a line, which outlives a power cut once this has returned.

        Returns:
            How many lines there are now.

        Raises:
            OSError: it cannot be written.
            ValueError: there is no file of :meth:`write`.
        """
        mark, before = self._mark(), self._content()
        if not mark:
            raise ValueError(f"{self.path} was not written by this class.")
        line = json.dumps(change).encode() + b"\n"
        if self._mark_of(before) != mark:
            write_atomic(self.changes, json.dumps({_KEY: mark}).encode() + b"\n" + line)
            return 1
        with self.changes.open("r+b", buffering=0) as file:
            try:
                file.seek(len(before))  # over half a line, which was never acknowledged
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file.truncate()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(len(before))
                raise
        return before.count(b"\n")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines that belong to the file as it is; a damaged one is given as an empty object."""
        return self._lines_after(self._mark())

    def read(self) -> tuple[bytes, list[dict[str, Any]]]:
        """The file and the lines that belong to it, without a lock.

        Raises:
            OSError: there is no file.
        """
        while True:
            content = self.path.read_bytes()
            mark = self._mark_of(content)
            lines = list(self._lines_after(mark))
            if self._mark() == mark:  # or it was written meanwhile
                return content, lines

    def _lines_after(self, mark: str) -> Iterator[dict[str, Any]]:
        content = self._content()
        if mark and self._mark_of(content) == mark:
            yield from (_object(line) for line in content.splitlines()[1:])

    def state(self) -> tuple[FileState, FileState | None]:
        """What changes whenever anybody writes: the first part with the file, the second with the lines.

        Raises:
            FileNotFoundError: there is no file.
        """
        try:
            return _state(self.path), _state(self.changes)
        except FileNotFoundError:
            return _state(self.path), None

    def _content(self) -> bytes:
        """The whole lines."""
        try:
            content = self.changes.read_bytes()
        except FileNotFoundError:
            return b""
        return content[: content.rfind(b"\n") + 1]

    def _mark(self) -> str:
        try:
            with self.path.open("rb") as file:
                return self._mark_of(file.read(_START))
        except FileNotFoundError:
            return ""

    @staticmethod
    def _mark_of(content: bytes) -> str:
        found = _MARK.match(content)
        return found.group(1).decode() if found else ""


def _state(file: Path) -> FileState:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
