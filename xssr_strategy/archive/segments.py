"""The segments of a DICOM SEG object, each as one volume of its frames.

highdicom sorts the frames by segment, with pydicom 2 (highdicom 0.22) as with pydicom 3: its function for that is the
same in all versions. Those of its functions that build volumes need pydicom 3, and slices without gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from highdicom.seg.utils import iter_segments
from numpy.typing import NDArray
from pydicom import Dataset

_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # Segmentation, Label Map Segmentation
_OF_FRAMES = ("SegmentIdentificationSequence", "PlanePositionSequence")
_Frames = tuple[NDArray[np.bool_], Sequence[Dataset]]


def with_frame_groups(dataset: Dataset) -> Dataset:
    """A DICOM SEG each of whose frames tells its segment and its place itself, also where all frames share one.

    highdicom's function asks each frame, though highdicom 0.28 itself writes what is shared once.

    Args:
        dataset: is changed.
    """
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        for keyword in _OF_FRAMES:
            if keyword in shared and keyword not in groups:
                groups[keyword] = shared[keyword]
    return dataset


def segment_volumes(dataset: Dataset) -> list[tuple[int, str, Any]]:
    """Number, SegmentLabel and mask of each segment, in the order of the SegmentSequence.

    Args:
        dataset: of :func:`with_frame_groups`; binary, fractional (what is above 0 counts) or a label map.

    Returns:
        the masks are SimpleITK images of 0 and 1, all on one grid: from the lowest frame along the normal to the
        highest, with the distance that the object gives, no matter which frames are stored and in which order.

    Raises:
        Exception: those of pydicom and highdicom; ValueError for what is no DICOM SEG.
    """
    if dataset.SOPClassUID not in _STORAGE or dataset.Modality != "SEG":
        raise ValueError("it is no DICOM SEG")
    is_map = dataset.SegmentationType == "LABELMAP"
    names = {int(one.SegmentNumber): str(one.get("SegmentLabel", "")) for one in dataset.SegmentSequence}
    if len(names) < len(dataset.SegmentSequence):
        raise ValueError("two of its segments have one number")
    if is_map:
        names.pop(0, None)  # the background, which highdicom describes as well
    if 0 in names:
        raise ValueError("a segment has the number 0")
    frames = _of_map(dataset, names) if is_map else _of_segments(dataset)
    grid = _grid(dataset)
    return [(number, name, _stacked(frames.get(number), grid)) for number, name in names.items()]


def _of_segments(dataset: Dataset) -> dict[int, _Frames]:
    """The frames of each segment that has any, and their functional groups."""
    try:
        found = list(iter_segments(dataset))
    except KeyError as error:
        raise ValueError(f"it has frames of a segment {error.args[0]}, which it does not describe") from None
    return {int(segment.SegmentNumber): (frames > 0, groups) for frames, groups, segment in found}


def _of_map(dataset: Dataset, numbers: Mapping[int, str]) -> dict[int, _Frames]:
    """The frames of a label map, whose values are the numbers of the segments (DICOM PS3.3 C.8.20.2.3.3)."""
    values = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    return {number: (values == number, dataset.PerFrameFunctionalGroupsSequence) for number in numbers}


def _grid(dataset: Dataset) -> Any:
    """An empty volume from the lowest frame to the highest."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    measures, orientation = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0].ImageOrientationPatient
    rows, columns = (np.array(axis, dtype=float) for axis in (orientation[:3], orientation[3:]))
    rows, columns = rows / np.linalg.norm(rows), columns / np.linalg.norm(columns)
    normal = np.cross(rows, columns)
    distance = float(measures.get("SpacingBetweenSlices") or measures.SliceThickness)
    down, right = (float(step) for step in measures.PixelSpacing)
    places = np.array([_place(groups) for groups in dataset.PerFrameFunctionalGroupsSequence])
    heights = [np.dot(place - places[0], normal) for place in places]
    volume = sitk.Image(dataset.Columns, dataset.Rows, int(np.rint(np.ptp(heights) / distance)) + 1, sitk.sitkUInt8)
    volume.SetOrigin(places[int(np.argmin(heights))].tolist())
    volume.SetSpacing((right, down, distance))
    volume.SetDirection(np.column_stack([rows, columns, normal]).flatten().tolist())
    return volume


def _place(groups: Dataset) -> list[float]:
    """Of the centre of a frame's first pixel, in mm."""
    return [float(value) for value in groups.PlanePositionSequence[0].ImagePositionPatient]


def _stacked(frames: _Frames | None, grid: Any) -> Any:
    """Frames at their places on the grid; nothing is drawn on those that are not stored."""
    values = np.zeros(grid.GetSize()[::-1], dtype=np.uint8)
    for frame, groups in zip(*(frames or ((), ())), strict=True):
        values[grid.TransformPhysicalPointToIndex(_place(groups))[2]] = frame
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(grid)
    return mask
