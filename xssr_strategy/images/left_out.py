"""What a listing of a folder passes over: how many entries, which, and why, in the log."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path

from xssr_strategy.errors import printable

logger = logging.getLogger(__name__)

_SHOWN = 3  # entries of one kind that a line of the log names


def some(things: list[str]) -> str:
    """The first few and the number of the others.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(things[:_SHOWN])
    return f"{shown} and {len(things) - _SHOWN} more" if len(things) > _SHOWN else shown


class Told:
    """What was told of each folder at its last listing, so that a server tells only what has changed since."""

    def __init__(self) -> None:
        self._lines: dict[Path, list[str]] = {}

    def news(self, folder: Path, lines: list[str]) -> list[str]:
        """Those of the lines that were not told of the folder the last time."""
        before = self._lines.get(folder, [])
        self._lines[folder] = lines
        return [line for line in lines if line not in before]


class LeftOut:
    """Entries that a listing passes over, by reason.

    Args:
        folder: that is listed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[str, list[Path]] = defaultdict(list)

    def add(self, path: Path, reason: str) -> None:
        """An entry, and why: what is wrong with it, and the remedy."""
        self._entries[reason].append(path)

    def tell(self, told: Told | None = None) -> None:
        """One line in the log for each reason; given ``told``, for each that is new or has changed."""
        lines = [self._line(reason, paths) for reason, paths in self._entries.items()]
        for line in lines if told is None else told.news(self._folder, lines):
            logger.warning("%s", line)

    def _line(self, reason: str, paths: list[Path]) -> str:
        names = some([str(path.relative_to(self._folder)) for path in paths])
        what = f"{paths[0]} is" if len(paths) == 1 else f"{len(paths)} entries of {self._folder} are"
        return printable(f"{what} left out{'' if len(paths) == 1 else f' ({names})'}: {reason}.")
