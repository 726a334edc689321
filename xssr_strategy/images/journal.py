"""Which images are being read: if one of them ends the process, the next process knows which."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from xssr_strategy.errors import printable
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.images.trial import LIMIT

logger = logging.getLogger(__name__)

_NAME = "reading.json"
_ENDS = 5  # our choice: ends of the process, one after the other, while the same image was being read
_REMEDY = "export it again or remove it from the folder"

T = TypeVar("T")


class ReadingJournal:
    """A line of JSON in the workspace that says which images are being read, and which must not be.

    What was being read when the last process died is first read by a process of its own (``trial``). If that dies or
    takes too long, the image is set aside for as long as it stays as it is; otherwise, as after a kill of the server,
    it is read as usual. An image that passes and is still being read at five ends in a row is set aside, too: the
    process may die for lack of memory, of which the trial has more.

    A read costs two writes of a few bytes, which no kill of the process undoes, and which nobody waits for the disk to
    take. Two processes that read at once overwrite each other's line: then a death is noticed at the next one.

    Args:
        folder: of the workspace; made where missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _NAME
        file.touch()
        self._file = file.open("r+b", buffering=0)
        self._lock = Lock()
        self._reading: dict[str, int] = {}
        known = _parsed(self._file.read())
        self._suspects: dict[str, int] = {name: ends for name, ends in known["reading"].items() if Path(name).exists()}
        self._refused: dict[str, list[str]] = known["refused"]

    def __enter__(self) -> ReadingJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._reading.clear()  # whatever ends this, the process lives
            self._write()
            self._file.close()

    def guarded(self, read: Callable[[Path], T]) -> Callable[[Path], T]:
        """As ``read``, with notes in the journal; it raises ``UnreadableImage`` for an image that is set aside."""
        return partial(self._read, read)

    def _read(self, read: Callable[[Path], T], path: Path) -> T:
        name = str(path.absolute())
        if name in self._refused:
            self._refuse_again(path, name)
        ends = self._suspects.get(name, 0)
        if ends:
            self._try(path, name, ends)
        with self._lock:
            self._suspects.pop(name, None)
            self._reading[name] = ends + 1
            self._write()
        try:
            return read(path)
        finally:
            with self._lock:
                self._reading.pop(name, None)
                self._write()

    def _refuse_again(self, path: Path, name: str) -> None:
        state, reason = self._refused[name]
        if path.exists() and state == fingerprint(path):
            raise UnreadableImage(f"{path}: {reason}")
        with self._lock:
            del self._refused[name]

    def _try(self, path: Path, name: str, ends: int) -> None:
        logger.warning(
            "%s", printable(f"{path} was being read when the last process ended: it is tried in a process of its own.")
        )
        reason = f"was being read at {ends} ends of the process in a row; {_REMEDY}" if ends >= _ENDS else trial(path)
        if reason is None:
            return
        with self._lock:
            self._suspects.pop(name, None)
            self._refused[name] = [fingerprint(path), reason]
            self._write()
        raise UnreadableImage(f"{path}: {reason}")

    def _write(self) -> None:
        if self._file.closed:
            return  # a thread that was reading ahead
        state = {"reading": {**self._suspects, **self._reading}, "refused": self._refused}
        self._file.seek(0)
        self._file.write(json.dumps(state).encode() + b"\n")  # what is left of a longer line does not count


def trial(path: Path) -> str | None:
    """Read an image in a process of its own; the reason why nobody else should, if that process dies."""
    command = [sys.executable, "-m", "xssr_strategy.images.trial", str(path)]
    quiet = subprocess.DEVNULL
    status = subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False).returncode
    if status >= 0:  # read or refused; or the process could not start, which says nothing of the image
        return None
    if -status == signal.SIGALRM:
        return f"takes longer than {LIMIT} s to read; {_REMEDY}"
    return f"reading it ends the process ({_name_of(-status)}); {_REMEDY}"


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _parsed(content: bytes) -> dict[str, Any]:
    """The state in the first line; an empty one if there is none."""
    try:
        state = json.loads(content.partition(b"\n")[0])
        return {"reading": dict(state["reading"]), "refused": dict(state["refused"])}
    except (ValueError, TypeError, KeyError):
        return {"reading": {}, "refused": {}}
