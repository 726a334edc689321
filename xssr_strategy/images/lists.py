"""Text files that name images: lists of ids and CSV tables, read alike whoever asks for them.

UTF-8 with or without a byte order mark, lines that end as on any system, blank lines anywhere. A line names an image by
its id or its file name, with or without extension, or by a path that ends in one of these.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath

from xssr_strategy.errors import UserError
from xssr_strategy.images.left_out import some
from xssr_strategy.images.listing import image_extension

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks; that of UTF-32 begins with the first


@dataclass(frozen=True)
class Unmatched:
    """A line that names no image."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"'{self.text}' (line {self.line})"


@dataclass(frozen=True)
class TableLine:
    """What a line of a table says of an image; the value may be empty."""

    line: int
    image: str
    value: str


class ImageNames:
    """How the lines of a text file may name images.

    Args:
        images: ids, or id -> path; with paths an image has its file name, too, and a path that leads to another file
            names none.

    >>> names = ImageNames({"scan1": Path("new/scan1.nii.gz"), "case7": Path("new/case7_0000.nii.gz")})
    >>> [names.find(text) for text in ("scan1", "scan1.nii.gz", "/data/new/scan1.nii.gz", "case7_0000.nii.gz", "scan2")]
    ['scan1', 'scan1', 'scan1', 'case7', None]
    """

    def __init__(self, images: Collection[str]) -> None:
        self._paths: Mapping[str, Path] = images if isinstance(images, Mapping) else {}
        by_name: dict[str, set[str]] = defaultdict(set)
        for image in images:
            by_name[_composed(image)].add(image)
        for image, path in self._paths.items():
            for name in (path.name, without_extension(path.name)):
                if (key := _composed(name)) not in images:
                    by_name[key].add(image)
        self._known = {name: min(found) for name, found in by_name.items() if len(found) == 1}
        self._known |= {image: image for image in images}

    def find(self, text: str) -> str | None:
        """The id that a text means, or None."""
        for name in dict.fromkeys((text, text.strip())):
            if (image := self._named(name)) is not None:
                return image
        path = text.strip()
        parts = PurePosixPath(path.replace("\\", "/")).parts
        for begin in range(len(parts)):
            if (image := self._named("/".join(parts[begin:]))) is not None:
                return image if self._leads_to(path, image, sure=".." not in parts) else None
        return None

    def _named(self, name: str) -> str | None:
        for candidate in (name, without_extension(name)):
            for known in (candidate, _composed(candidate)):
                if known in self._known:
                    return self._known[known]
        return None

    def _leads_to(self, path: str, image: str, sure: bool) -> bool:
        """Whether a path that ends as an image leads to it; ``sure`` if nothing is at one of the two places."""
        own = self._paths.get(image)
        with suppress(OSError, ValueError):
            if own is not None and os.path.exists(path) and own.exists():
                return os.path.samefile(path, own)
        return sure


def without_extension(name: str) -> str:
    """A file name without the extension of an image.

    >>> without_extension("scan1.nii.gz"), without_extension("scan1.2.png")
    ('scan1', 'scan1.2')
    """
    return name[: len(name) - len(image_extension(Path(name)))]


def is_named(file: Path) -> bool:
    """Whether a file that may be missing is there, be it a link that leads nowhere: reading it then says so."""
    return os.path.lexists(file)


def read_text(file: Path) -> str:
    r"""A UTF-8 file, with or without a byte order mark; its lines end in ``\n``.

    Raises:
        UserError: it is no such text.
    """
    try:
        content = file.read_bytes()
        if content.startswith(_UTF_16):
            raise ValueError("it is UTF-16, as Windows' PowerShell and Notepad can save it")
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it holds zero bytes, as UTF-16 and binary files do")
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as text ({error}); save it as plain text in UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_ids(file: Path, images: Collection[str]) -> frozenset[str]:
    """The images that a list names, one a line.

    Args:
        images: as of :class:`ImageNames`.

    Raises:
        UserError: it is no text, or lines name no image; the first of them are told.
    """
    names = ImageNames(images)
    lines = [(number, text) for number, text in enumerate(read_text(file).split("\n"), start=1) if text.strip()]
    found = [(number, text.strip(), names.find(text)) for number, text in lines]
    refuse_unmatched(file, _unmatched(found), len(lines), images)
    return frozenset(image for _, _, image in found if image is not None)


def read_table(
    file: Path, keys: Sequence[str], column: str, images: Collection[str]
) -> tuple[list[TableLine], list[Unmatched]]:
    """What the column of a CSV table says of images, line by line, and the lines that name none.

    Args:
        keys: names of the column that names the image; the first that is there counts.
        column: of the values.
        images: as of :class:`ImageNames`.

    Raises:
        UserError: it is no such table.
    """
    rows = list(_rows(file))
    header = rows[0][1] if rows else []
    key = next((name for name in keys if name in header), None)
    if key is None or column not in header:
        raise UserError(
            f"{file}: the first line has no columns {' or '.join(keys)} and {column}; begin the file with "
            f"{keys[0]},{column}."
        )
    names = ImageNames(images)
    found: list[tuple[int, str, str | None]] = []
    lines: list[TableLine] = []
    for number, cells in rows[1:]:
        if any(cells[len(header) :]):
            raise UserError(
                f"{file}, line {number}: has more cells than the first line has columns; put a text with commas into "
                "quotes."
            )
        values = dict(zip(header, [*cells, *[""] * len(header)], strict=False))
        image = names.find(values[key])
        found.append((number, values[key], image))
        if image is not None:
            lines.append(TableLine(number, image, values[column]))
    return lines, _unmatched(found)


def read_column(file: Path, column: str, images: Collection[str]) -> dict[str, str]:
    """image -> what a table with the columns ``image`` and ``column`` says of it, in the order of the lines.

    Raises:
        UserError: it is no such table, a line names no image or says nothing of it, or two lines name one image.
    """
    lines, wrong = read_table(file, ("image",), column, images)
    refuse_unmatched(file, wrong, len(lines) + len(wrong), images)
    found: dict[str, str] = {}
    for one in lines:
        place = f"{file}, line {one.line}"
        if not one.value:
            raise UserError(f"{place}: no {column} for {one.image}; add it or remove the line.")
        if one.image in found:
            raise UserError(f"{place}: {one.image} has a line before; remove one of the two.")
        found[one.image] = one.value
    return found


def refuse_unmatched(file: Path, wrong: Sequence[Unmatched], lines: int, images: Collection[str]) -> None:
    """Refuse a file of which some lines name no image.

    Args:
        lines: of the file, blank ones aside.

    Raises:
        UserError: there is such a line.
    """
    if not wrong:
        return
    if len(wrong) == lines > 1:
        example = f", such as {min(images)}" if images else ""
        raise UserError(
            f"{file}: not one of its {lines} lines names an image: {some([*map(str, wrong)])}; use the ids{example}."
        )
    others = f", nor {'are' if len(wrong) > 2 else 'is'} {some([*map(str, wrong[1:])])}" if len(wrong) > 1 else ""
    remedy = "the line" if len(wrong) == 1 else "these lines"
    raise UserError(
        f"{file}, line {wrong[0].line}: '{wrong[0].text}' is none of the {len(images)} images{others}; "
        f"correct or remove {remedy}."
    )


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells without the blanks around them) of every line of a CSV file that is not blank."""
    reader = csv.reader(StringIO(read_text(file), newline=""), skipinitialspace=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: {error}; correct the line.") from error


def _unmatched(found: Iterable[tuple[int, str, str | None]]) -> list[Unmatched]:
    return [Unmatched(number, text) for number, text, image in found if image is None]


def _composed(text: str) -> str:
    """Letters with accents as one sign each: macOS keeps names with two, editors write one."""
    return unicodedata.normalize("NFC", text)
