"""Names of label numbers: what a drawn segment, or a number of a file, is called, and which label that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.labels.values import IGNORED, INTEGER_TOLERANCE

IGNORE = "ignore"
"""nnU-Net's name for voxels that nobody has looked at (nnU-Net, documentation/ignore_label.md)."""

_UNNAMED = ("foreground",)  # the labels of a server that was told no names
_SAYS_NOTHING = re.compile(r"((segment|label|class|mask|roi|number)?[ _-]?\d*|unk|unknown|foreground)", re.IGNORECASE)


def are_labels(names: Sequence[str]) -> bool:
    """Whether names can be those of labels: each once in any case, and none of what is no label.

    >>> are_labels(("liver", "tumour")), are_labels(("tumour", "ignore"))
    (True, False)
    """
    lowered = {name.lower() for name in names}
    return all(names) and len(lowered) == len(names) < IGNORED and not lowered & {"background", IGNORE}


def segment_names(label_info: Any) -> dict[int, str]:
    """Number -> name of the segments of a label file, as a viewer submits them; empty if it does not.

    Args:
        label_info: a list of mappings with ``name``, or a single one, in the order of the numbers: 3D Slicer exports
            the segments that there are, and its ``idx``, which ascend, may leave numbers out. ``idx`` in another order
            are the numbers.
    """
    listed = [label_info] if isinstance(label_info, dict) else label_info if isinstance(label_info, list) else []
    entries = [entry if isinstance(entry, dict) else {} for entry in listed]
    stated = [number for entry in entries if isinstance(number := entry.get("idx"), int) and number > 0]
    if len(set(stated)) < len(entries) or stated == sorted(stated):
        stated = list(range(1, len(entries) + 1))
    names = (str(entry.get("name") or "") for entry in entries)
    return {number: name for number, name in zip(stated, names, strict=True) if name}


def says_nothing(name: str) -> bool:
    """Whether a name was made up by a program and does not tell what the segment is.

    >>> says_nothing("Segment_1"), says_nothing("liver 1")
    (True, False)
    """
    return _SAYS_NOTHING.fullmatch(name.strip()) is not None


def with_ignore(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the numbers 1, 2, ... of a file that may hold ignored voxels, which have the number after the labels'.

    >>> with_ignore(("liver", "tumour"))
    ('liver', 'tumour', 'ignore')
    """
    return (*names, IGNORE)


def label_numbers(called: Mapping[int, str], names: Sequence[str]) -> dict[int, int]:
    """Value -> label number of what is drawn; the number is that of ``with_ignore(names)``.

    Args:
        called: value -> name of the segments that are drawn.
        names: of the labels. With one, every segment is that label, unless one of them has its name.

    Raises:
        UserError: a segment is none of the labels.

    >>> label_numbers({1: "Tumour", 3: "ignore"}, ("liver", "tumour"))
    {1: 2, 3: 3}
    """
    known = {name.lower(): number for number, name in enumerate(with_ignore(names), start=1)}
    wanted = {value: known.get(name.strip().lower(), 0) for value, name in called.items()}
    if len(names) == 1 and 1 not in wanted.values():
        wanted = {value: number or 1 for value, number in wanted.items()}
    for value, number in wanted.items():
        if not number:
            raise UserError(
                f"The segment '{called[value]}' is none of the labels {','.join(names)}: rename or remove it, "
                "then submit."
            )
    return wanted


def renumbered(values: NDArray[Any], segments: Mapping[int, str], names: Sequence[str]) -> NDArray[Any]:
    """A label in which each segment has the number of its name.

    Args:
        values: label numbers, of any shape.
        segments: number -> name in the file; without any, and where there are fractions, the values are taken as they
            are.
        names: of the labels, as in :func:`label_numbers`.

    Returns:
        Label numbers; value i is ``with_ignore(names)[i - 1]``. The array given, where nothing changes.

    Raises:
        UserError: a segment is none of the labels.
    """
    whole = np.rint(values)
    with np.errstate(invalid="ignore"):  # infinite values
        if not (segments and names) or not (np.abs(values - whole) <= INTEGER_TOLERANCE).all():
            return values
    drawn = [int(number) for number in np.unique(whole) if number > 0]
    wanted = label_numbers({value: segments.get(value, f"number {value}") for value in drawn}, names)
    alike = len(names) == 1 and set(wanted.values()) <= {1}
    if alike or all(value == number for value, number in wanted.items()):
        return values
    changed = values.copy()
    for value, number in wanted.items():
        changed[whole == value] = number
    return changed


def names_of_numbers(values: NDArray[Any], segments: Mapping[int, str], names: Sequence[str]) -> tuple[str, ...]:
    """Names of the numbers after :func:`renumbered`, with the same arguments: ``ignore`` counts if it is drawn."""
    ignored = [number for number, name in segments.items() if name.strip().lower() == IGNORE]
    return with_ignore(names) if ignored and np.isin(np.rint(values), ignored).any() else tuple(names)


def numbers_by_name(numbers: NDArray[np.uint8], recorded: Sequence[str], labels: Sequence[str]) -> NDArray[np.uint8]:
    """Label numbers of a file -> those of a training, by their names.

    Args:
        numbers: of any shape; i is ``recorded[i - 1]``.
        recorded: names of the file's numbers, as they were when it was written; several numbers may have one name.
        labels: names of the labels now.

    Returns:
        Label numbers; i is ``labels[i - 1]``, and ``IGNORED`` what is called ``ignore``.

    Raises:
        UserError: something is drawn that is none of the labels; the sentence lacks its subject.
    """
    known = {name.lower(): number for number, name in enumerate(labels, start=1)} | {IGNORE: IGNORED}
    table = np.zeros(256, dtype=np.uint8)
    for number in (int(value) for value in np.unique(numbers) if value):
        name = recorded[number - 1].lower()
        if name not in known and tuple(labels) != _UNNAMED:
            raise UserError(
                f"was drawn as {','.join(dict.fromkeys(recorded))}, and its {recorded[number - 1]} is none of the "
                f"labels {','.join(labels)} now; add that name to the labels or submit the label again"
            )
        table[number] = known.get(name, 1)
    return table[numbers]


def tells_apart(recorded: Sequence[str]) -> bool:
    """Whether names that were kept with a label say what its numbers are: not those of a server without names."""
    return bool(recorded) and tuple(recorded) != _UNNAMED
