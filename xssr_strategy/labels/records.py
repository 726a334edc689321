"""What the numbers of a label file mean, noted in the index of a studies folder when it was submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import content_digest
from xssr_strategy.labels.names import with_ignore
from xssr_strategy.storage.change_log import ChangeLog

_INDEX = "datastore_v2.json"  # MONAI Label's
_RECORD = "numbers"  # in the index of the datastore


def record(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """What is noted of a label when it is kept: ``names`` of its numbers, and which content that is said of."""
    return {_RECORD: {"names": list(names), "content": content_digest(file)}}


def is_recorded(info: Mapping[str, Any]) -> bool:
    """Whether names were noted of a label."""
    noted = info.get(_RECORD)
    return isinstance(noted, Mapping) and isinstance(noted.get("names"), list)


def recorded_names(info: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """The names that were noted of a label's numbers 1, 2, ...; empty if none were, or of another content.

    Args:
        info: what is noted of it.
        file: the label; who has written another in its place goes by the labels of now.
    """
    if not is_recorded(info):
        return ()
    try:
        same = info[_RECORD].get("content") == content_digest(file)
    except UserError:  # gone: whoever reads it tells
        return ()
    return tuple(str(name) for name in info[_RECORD]["names"]) if same else ()


def recorded_labels(studies: Path, labels: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """image -> names of its label's numbers, of the final labels of a studies folder whose names were noted.

    Args:
        studies: folder with MONAI Label's index.
        labels: image -> label file.
    """
    try:
        index, lines = ChangeLog(studies / _INDEX).read()
        noted = {line["image"]: line["entry"] for line in lines if {"image", "entry"} <= line.keys()}
        objects = json.loads(index)["objects"] | noted
    except (OSError, ValueError, KeyError, TypeError):  # the labels count, the index can be made anew
        return {}
    found = {image: recorded_names(_info(objects, image), path) for image, path in labels.items()}
    return {image: names for image, names in found.items() if names}


def _info(objects: Any, image: str) -> Mapping[str, Any]:
    """What the index says of an image's final label; empty if it lists none, as when the file was copied in."""
    try:
        info = objects[image]["labels"]["final"]["info"]
    except (KeyError, TypeError):
        return {}
    return info if isinstance(info, Mapping) else {}


@dataclass(frozen=True)
class FileNumbers:
    """What a folder says of the numbers in its label files.

    Attributes:
        label_names: names of the numbers 1, 2, ...; empty if it does not say.
        ignores: whether the number after them is that of voxels that nobody has looked at.
        recorded: image -> names of the numbers of its label, where they were noted with it.
    """

    label_names: tuple[str, ...] = ()
    ignores: bool = False
    recorded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def names_of(self, image: str, labels: Sequence[str]) -> tuple[str, ...]:
        """Names of the numbers of an image's label, as ``labelled_pair`` takes them; empty if they are those of now.

        Args:
            labels: names of the labels of the training; with one, every number but that of ``ignore`` is that label.
        """
        if image in self.recorded:
            return () if self.recorded[image] == tuple(labels) else self.recorded[image]
        if not self.ignores:
            return ()
        numbers = len(self.label_names)
        own = tuple(labels) * numbers if len(labels) == 1 else (*labels, *self.label_names[len(labels) :])
        return with_ignore(own[:numbers])
