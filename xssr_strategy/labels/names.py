"""Which number a drawn segment is, when a viewer numbers segments as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.errors import UserError


def segment_names(label_info: Any) -> list[str]:
    """Names of the segments 1, 2, ... of a label file, as a viewer submits them; empty if it does not.

    Args:
        label_info: a list of mappings with ``name``, in the order of the numbers: 3D Slicer exports the segments that
            there are, whatever ``idx`` it gives them.
    """
    entries = label_info if isinstance(label_info, list) else []
    names = [str(entry.get("name") or "") if isinstance(entry, dict) else "" for entry in entries]
    return names if all(names) else []


def renumbered(values: NDArray[Any], segments: Sequence[str], names: Sequence[str]) -> NDArray[Any]:
    """A label in which each segment has the number of its name.

    Args:
        values: label numbers, of any shape; value i is ``segments[i - 1]``.
        segments: of the file; without any, the values are taken as they are.
        names: of the labels. With one there is nothing to tell apart.

    Returns:
        Label numbers; value i is ``names[i - 1]``. The array given, where nothing changes.

    Raises:
        UserError: a segment is none of the labels.
    """
    if not segments or len(names) < 2:
        return values
    known = {name.lower(): number for number, name in enumerate(names, start=1)}
    wanted = {}
    for value in (int(number) for number in np.unique(values) if number > 0):
        called = segments[value - 1] if value <= len(segments) else f"number {value}"
        if called.strip().lower() not in known:
            labels = ",".join(names)
            raise UserError(f"The segment '{called}' is none of the labels {labels}: rename or remove it, then submit.")
        wanted[value] = known[called.strip().lower()]
    if all(value == number for value, number in wanted.items()):
        return values
    changed = values.copy()
    for value, number in wanted.items():
        changed[values == value] = number
    return changed
