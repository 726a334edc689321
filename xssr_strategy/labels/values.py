"""What the voxels of a label may hold, wherever the label comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.errors import UserError

INTEGER_TOLERANCE = 1e-3  # our choice: rounding of label files that are stored as scaled floats
IGNORED = 255
"""The number, in a label as it is read, of voxels that count in neither loss nor Dice: nobody has looked at them."""

_NAMED = 4  # values that a remark names at most (our choice)
_SLOPES = 0.125
"""Share of voxels on slopes from which edges count as soft; our choice.

Regions with numbers of their own stay below 0.1, down to some ten pixels each; blurred, resampled and JPEG-compressed
masks lie between 0.18 and 1.
"""

EMPTY = "nothing is drawn on it: it is trained on as pure background; submit it again if that is not meant"

SINGLE = "a single voxel is drawn on it; submit it again if that is not meant"
FULL = "it fills the image: no background is learnt from it; submit it again if that is not meant"


def checked_numbers(values: NDArray[Any], names: Sequence[str]) -> NDArray[np.uint8]:
    """The label numbers that a file holds.

    Args:
        values: as stored, on the grid, of any number of axes.
        names: of the labels. With one, every number but 0 is that label; with several, i is ``names[i - 1]``.

    Raises:
        UserError: a value is no label number, or with one name the edges are soft; the sentence begins with "holds"
            and lacks its subject.
    """
    numbers = np.rint(values)
    with np.errstate(invalid="ignore"):  # infinite values
        wrong = ~(np.abs(values - numbers) <= INTEGER_TOLERANCE) | (numbers < 0)
    if len(names) > 1:
        wrong |= numbers > len(names)
    if wrong.any():
        value = f"holds the value {float(values[wrong][0]):g}"
        if len(names) > 1:
            raise UserError(
                f"{value} but the labels {','.join(names)} are the numbers 1 to {len(names)} on background 0; "
                "save it with these numbers or change --conf labels"
            )
        raise UserError(
            f"{value}, which is no label number; save the mask itself in whole numbers, 0 being background, "
            "and not probabilities"
        )
    if len(names) == 1:
        _refuse_soft_edges(numbers)
    return (numbers != 0 if len(names) == 1 else numbers).astype(np.uint8)


def _refuse_soft_edges(numbers: NDArray[Any]) -> None:
    """Refuse whole numbers that rise step by step from background to the largest.

    A voxel is on a slope if one of its face neighbours is lower and another one higher. Where regions have numbers of
    their own, few voxels are; along soft edges many.
    """
    between = (numbers > 0) & (numbers < numbers.max(initial=0))
    if not between.any():
        return
    found = np.unique(numbers[between])
    if len(found) > 1 and (_on_slopes(numbers) & between).sum() > _SLOPES * between.sum():
        raise UserError(
            f"holds {len(found)} numbers between 0 and {numbers.max():g} that rise along its edges, as soft edges, "
            "resampling or JPEG compression leave them; save the mask itself with sharp edges, 0 being background"
        )


def _on_slopes(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a voxel has a lower and a higher one among those that share a face with it."""
    above_lower, below_higher = np.zeros((2, *numbers.shape), dtype=bool)
    for axis in range(numbers.ndim):
        along = np.moveaxis(numbers, axis, 0)
        lower, higher = np.moveaxis(above_lower, axis, 0), np.moveaxis(below_higher, axis, 0)
        rises, falls = along[1:] > along[:-1], along[1:] < along[:-1]
        lower[1:] |= rises
        higher[:-1] |= rises
        lower[:-1] |= falls
        higher[1:] |= falls
    slopes: NDArray[np.bool_] = above_lower & below_higher
    return slopes


def remark(values: NDArray[Any], names: Sequence[str]) -> str:
    """What is odd about a label that can be used; empty if nothing is.

    Two numbers with one label are no mistake where a lab merges left and right on purpose, so they are only told.

    Args:
        values: accepted by :func:`checked_numbers`.
    """
    drawn = np.rint(values[values != 0])
    drawn = drawn[drawn != 0]
    if not drawn.size:
        return EMPTY
    if len(names) == 1 and drawn.min() != drawn.max():
        found = np.unique(drawn)
        listed = ", ".join(f"{value:g}" for value in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        return (
            f"it holds {len(found)} numbers ({listed}) and all of them count as {names[0]}; "
            "submit it again if some are something else"
        )
    if drawn.size == values.size:
        return FULL
    return SINGLE if drawn.size == 1 else ""
