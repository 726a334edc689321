"""Segmentations as 3D Slicer saves them (.seg.nrrd): the header names the segments, their numbers and their layers.

Segments that overlap lie in layers of their own, one value each. Keys of the header as in
https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html: ``Segment0_Name``,
``Segment0_LabelValue``, ``Segment0_Layer``. Before Slicer 4.11 there were no numbers and no layers: each segment had a
layer of its own, with the value 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import itk
import numpy as np
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension
from xssr_strategy.labels.names import label_numbers, says_nothing
from xssr_strategy.labels.values import checked_numbers

_NAME = re.compile(r"Segment(?P<place>\d+)_Name")
SCRIBBLES = ("foreground_scribbles", "background_scribbles")
"""Segments that MONAI Label's module for 3D Slicer leaves out of labels."""


@dataclass(frozen=True)
class FileSegment:
    """A segment that the header of a file names.

    Attributes:
        name: what the annotator calls it.
        number: of its voxels.
        layer: in which they are.
        place: in the header: its keys begin with ``Segment`` and this number.
    """

    name: str
    number: int
    layer: int
    place: int


def file_segments(path: Path) -> tuple[FileSegment, ...]:
    """The segments that the header of a file names.

    Returns:
        Empty if it names none, none in a way that tells them apart, or no file of its kind can be read.
    """
    if image_extension(path) != ".nrrd":
        return ()
    header = itk.NrrdImageIO.New()
    header.SetFileName(str(path))
    try:
        header.ReadImageInformation()
        tags = header.GetMetaDataDictionary()
        found = [match for key in tags.GetKeys() if (match := _NAME.fullmatch(key))]
        layered = header.GetNumberOfComponents() > 1
        segments = [_segment(tags, int(match["place"]), layered) for match in found]
    except (RuntimeError, ValueError):  # no such file, no text, or no numbers
        return ()
    places = {(segment.layer, segment.number) for segment in segments}
    if len(places) < len(segments) or (not layered and all(says_nothing(segment.name) for segment in segments)):
        return ()
    return tuple(sorted(segments, key=lambda segment: (segment.layer, segment.number)))


def merged(layers: NDArray[Any], segments: Sequence[FileSegment], names: Sequence[str]) -> NDArray[np.uint8]:
    """The label numbers of a segmentation; where segments overlap the higher label wins, and any against ``ignore``.

    Args:
        layers: (layers, *spatial), as stored.
        segments: of :func:`file_segments`; there are some.
        names: of the labels.

    Returns:
        uint8 (*spatial); i is ``with_ignore(names)[i - 1]``.

    Raises:
        UserError: a segment is none of the labels, or a value is no number.
    """
    try:
        checked_numbers(layers, names if len(names) == 1 else ())  # here for whole numbers; names come by segment
    except UserError as error:
        raise UserError(f"The label {error}") from None
    called: dict[int, str] = {}
    numbers = np.zeros(layers.shape, dtype=np.int64)
    known = {(segment.layer, segment.number): segment.name for segment in segments}
    for layer, values in enumerate(np.rint(layers).astype(np.int64)):
        for value in (int(number) for number in np.unique(values) if number):
            name = known.get((layer, value), f"number {value}")
            if name not in SCRIBBLES:
                called[len(called) + 1] = name
                numbers[layer][values == value] = len(called)
    wanted = label_numbers(called, names)
    found = np.array([0, *(wanted[value] for value in called)], dtype=np.uint8)[numbers]
    labels = np.where(found <= len(names), found, 0).max(axis=0)
    return np.where(labels > 0, labels, found.max(axis=0))


def _segment(tags: Any, place: int, layered: bool) -> FileSegment:
    def tag(name: str, default: int) -> str:
        key = f"Segment{place}_{name}"
        return str(tags[key]) if tags.HasKey(key) else str(default)

    layer = int(tag("Layer", place if layered else 0))
    return FileSegment(tag("Name", place).strip(), int(tag("LabelValue", 1)), layer, place)
