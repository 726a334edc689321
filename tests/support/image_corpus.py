"""Broken and odd images, made here: what each is, and what has to become of it.

A case's outcome is ``EMBEDDED``, ``PASSED_OVER`` (it is no image, so nobody lists it) or a regular expression for the
sentence with which it is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.images.listing import image_extension

EMBEDDED = "embedded"
PASSED_OVER = "passed over"
DAMAGED = "is damaged"

FORGED = "[2026-01-01 00:00:00,000] [1] [MainThread] [ERROR] (root:1) - all labels are lost"
"""What a file name with a newline might want the log to say."""


@dataclass(frozen=True)
class Case:
    """One file or series.

    Attributes:
        name: of the file or folder.
        write: makes it, at the path that it is given.
        outcome: see above.
    """

    name: str
    write: Callable[[Path], object]
    outcome: str


def write_cases(folder: Path, cases: Iterable[Case]) -> dict[str, Case]:
    """Write the cases into a new folder; name -> case. Of names that differ in the extension alone, all but one change.

    (They would have one image id.)
    """
    folder.mkdir(parents=True)
    written: dict[str, Case] = {}
    ids: set[str] = set()
    for number, case in enumerate(cases):
        name, extension = case.name, image_extension(Path(case.name))
        if name[: len(name) - len(extension)] in ids:
            name = f"{name[: len(name) - len(extension)]} {number}{extension}"
        ids.add(name[: len(name) - len(extension)])
        case.write(folder / name)
        written[name] = case
    return written
