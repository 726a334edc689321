"""CSV files that say something of images: where they are from, how well they are segmented."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from io import StringIO
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension


def read_sites(file: Path, images: Collection[str], option: str = "--sites") -> dict[str, str]:
    """image -> site, from the columns ``image`` and ``site``; lines about other images are passed over.

    Raises:
        UserError: no such file or column, or no line is about one of the images.
    """
    return {image: site for image, (*_, site) in _columns(file, images, ("image",), "site", option).items()}


def read_dice(file: Path, images: Collection[str], option: str = "--dice") -> dict[str, float]:
    """image -> mean of its rows, from the columns ``image`` or ``case``, and ``dice``, 0 to 1.

    The ``cases.csv`` of ``xssr simulate`` is such a file. Lines about other images, and empty cells, are passed over.

    Raises:
        UserError: no such file or column, no line is about one of the images, or a Dice is no number from 0 to 1.
    """
    found = _columns(file, images, ("image", "case"), "dice", option)
    means = {}
    for image, cells in found.items():
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = [math.nan]
        if not all(0.0 <= value <= 1.0 for value in values):
            raise UserError(f"{option} {file}: the Dice of {image} is no number from 0 to 1; correct that line.")
        means[image] = sum(values) / len(values)
    return means


def _columns(
    file: Path, images: Collection[str], keys: tuple[str, ...], column: str, option: str
) -> Mapping[str, list[str]]:
    """image -> what the column says on each of its lines."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{option} {file}: cannot be read as text ({error}); name a CSV file in UTF-8.") from None
    known, lines = set(images), 0
    found: dict[str, list[str]] = defaultdict(list)
    try:
        table = csv.DictReader(StringIO(text, newline=""), skipinitialspace=True)
        key = next((name for name in keys if name in (table.fieldnames or ())), None)
        if key is None or column not in (table.fieldnames or ()):
            wanted = f"{' or '.join(keys)} and {column}"
            raise UserError(f"{option} {file}: the first line has no columns {wanted}; begin the file with them.")
        for row in table:
            lines += 1
            name, cell = (row[key] or "").strip(), (row[column] or "").strip()
            image = next(
                (one for one in (name, name[: len(name) - len(image_extension(Path(name)))]) if one in known), ""
            )
            if image and cell:
                found[image].append(cell)
    except csv.Error as error:
        raise UserError(f"{option} {file}: {error}; correct that line.") from error
    if not found:
        raise UserError(
            f"{option} {file}: none of its {lines} lines names one of the {len(known)} images; use their ids."
        )
    return found
