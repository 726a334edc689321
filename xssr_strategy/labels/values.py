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

EMPTY = "nothing is drawn on it: it is trained on as pure background; submit it again if that is not meant"


def checked_numbers(values: NDArray[Any], names: Sequence[str]) -> NDArray[np.uint8]:
    """The label numbers that a file holds.

    Args:
        values: as stored, of any shape.
        names: of the labels. With one, every number but 0 is that label; with several, i is ``names[i - 1]``.

    Raises:
        UserError: a value is no label number; the sentence begins with "holds" and lacks its subject.
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
    return (numbers != 0 if len(names) == 1 else numbers).astype(np.uint8)


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
    if len(names) > 1 or drawn.min() == drawn.max():
        return ""
    found = np.unique(drawn)
    listed = ", ".join(f"{value:g}" for value in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
    return (
        f"it holds {len(found)} numbers ({listed}) and all of them count as {names[0]}; "
        "submit it again if some are something else"
    )
