"""CSV files that say something of images: where they are from, how well they are segmented."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

from xssr_strategy.errors import UserError, printable
from xssr_strategy.images.left_out import some
from xssr_strategy.images.lists import read_table

logger = logging.getLogger(__name__)


def read_sites(file: Path, images: Collection[str], option: str = "--sites") -> dict[str, str]:
    """image -> site, from the columns ``image`` and ``site``; the log tells lines about other images.

    Args:
        images: ids, or id -> path.

    Raises:
        UserError: no such file or column, no line is about one of the images, or an image has several sites.
    """
    found = _columns(file, images, ("image",), "site", option)
    for image, sites in found.items():
        if len(set(sites)) > 1:
            raise UserError(
                f"{option} {file}: {image} is from {' and from '.join(dict.fromkeys(sites))}; keep one line."
            )
    return {image: site for image, (site, *_) in found.items()}


def read_dice(file: Path, images: Collection[str], option: str = "--dice") -> dict[str, float]:
    """image -> mean of its rows, from the columns ``image`` or ``case``, and ``dice``, 0 to 1.

    The ``cases.csv`` of ``xssr simulate`` is such a file. The log tells lines about other
    images; empty cells are passed over.

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
        lines, others = read_table(file, keys, column, images)
    except UserError as error:
        raise UserError(f"{option} {error}") from error
    found: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.value:
            found[line.image].append(line.value)
    if not found:
        raise UserError(
            f"{option} {file}: none of its {len(lines) + len(others)} lines names one of the {len(images)} images; "
            "use their ids."
        )
    if others:
        told = f"{len(others)} lines name no image of the map and are passed over: {some([*map(str, others)])}."
        logger.warning("%s", printable(f"{option} {file}: {told}"))
    return found
