"""Names of labels in the ``dataset.json`` of the Decathlon and of nnU-Net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xssr_strategy.errors import UserError
from xssr_strategy.labels.names import IGNORE


def dataset_names(file: Path, about: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Names of the labels 1, 2, ... of a ``dataset.json``, and whether the number after them is ``ignore``.

    Args:
        file: for messages.
        about: what it holds: "labels" is {"1": "Anterior"} (Decathlon) or {"Anterior": 1} (nnU-Net, version 2).

    Returns:
        No names if the file gives none.

    Raises:
        UserError: not each of the numbers has a name, or ``ignore`` is not the last of several.
    """
    if "labels" not in about:
        return (), False
    try:
        pairs = list(about["labels"].items())
        if not all(key.isdigit() for key, _ in pairs):
            pairs = [(number, name) for name, number in pairs]
        names = {int(number): str(name) for number, name in pairs if int(number) != 0}
        if sorted(names) != list(range(1, len(names) + 1)) or len(names) < sum(int(number) != 0 for number, _ in pairs):
            raise ValueError("not 1, 2, ...")
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f'{file}: "labels" does not give one name to each of the numbers 1, 2, ... without a gap; '
            'renumber the labels, or remove "labels" to have no names.'
        ) from error
    listed = tuple(names[number] for number in sorted(names))
    if IGNORE not in (name.lower() for name in listed):
        return listed, False
    if listed[-1].lower() != IGNORE or len(listed) == 1:
        raise UserError(
            f'{file}: "labels" has ignore as number {[name.lower() for name in listed].index(IGNORE) + 1}, but it must '
            "be the last of several numbers, as nnU-Net has it; renumber the labels."
        )
    return listed[:-1], True
