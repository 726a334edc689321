"""DICOM objects with several frames, and the same frames as a series with one file for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage

from tests.support.odd_dicom import dataset, saved

SPACING = (1.0, 1.5)
"""Between rows and between columns, in mm."""

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.8, 0.0, -0.6, 0.36, 0.8, 0.48)
"""Directions along a row and along a column."""

ORDER = [6, 0, 8, 4, 2]
"""Places of five frames along the normal, in mm, as they stand in the file of :func:`series_in`."""

Groups = Mapping[str, Mapping[str, Any]]
"""Sequence -> keyword -> value of one frame."""


def item(**values: Any) -> Dataset:
    """A dataset with these values; a mapping becomes a sequence of one item."""
    one = Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, Items([item(**value)]) if isinstance(value, Mapping) else value)
    return one


def at(distances: Sequence[float], orientation: Sequence[float] = AXIAL) -> list[tuple[float, ...]]:
    """Positions at these distances (mm) along the normal from a corner of the volume."""
    normal = np.cross(orientation[:3], orientation[3:])
    return [tuple(np.round(np.array((-20.0, 15.0, 5.0)) + distance * normal, 6)) for distance in distances]


def stored(count: int, colour: bool = False, seed: int = 3) -> np.ndarray:
    """Pixels of ``count`` frames: 12 bits, or three colours of 8."""
    shape = (count, 10, 12, 3) if colour else (count, 10, 12)
    return np.random.default_rng(seed).integers(0, 256 if colour else 4096, shape).astype("u1" if colour else "u2")


def enhanced(
    positions: Sequence[Sequence[float] | None],
    pixels: np.ndarray | None = None,
    orientation: Sequence[float] = AXIAL,
    groups: Sequence[Groups] = (),
    number: int = 1,
    **tags: Any,
) -> Dataset:
    """An enhanced object.

    Args:
        positions: of its frames, in the order in which they are stored; None leaves the place out.
        pixels: (N, rows, columns) or (N, rows, columns, 3).
        groups: further functional groups of each frame.
        number: of the object in its series.
        tags: overwrite, None removes.
    """
    frames = stored(len(positions)) if pixels is None else pixels
    colour = frames.ndim == 4
    values = {
        "SOPClassUID": EnhancedMRImageStorage,
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
        "PixelSpacing": None,
        "SliceThickness": None,
        "NumberOfFrames": len(positions),
        "Rows": frames.shape[1],
        "Columns": frames.shape[2],
        "SharedFunctionalGroupsSequence": Items(
            [
                item(
                    PixelMeasuresSequence={"PixelSpacing": list(SPACING), "SliceThickness": 2.0},
                    PlaneOrientationSequence={"ImageOrientationPatient": list(orientation)},
                )
            ]
        ),
        "PerFrameFunctionalGroupsSequence": Items(
            [
                item(
                    **({} if place is None else {"PlanePositionSequence": {"ImagePositionPatient": list(place)}}),
                    **(groups[index] if groups else {}),
                )
                for index, place in enumerate(positions)
            ]
        ),
    }
    if colour:
        values |= {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    one = dataset(frames, number, **{**values, **tags})
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    return one


def nuclear(spacing: float, pointers: list[int] | int = 0x00540080, **tags: Any) -> Dataset:
    """A reconstructed tomography of nuclear medicine, whose slices may go against the normal."""
    detector = item(ImagePositionPatient=[0, 0, 50], ImageOrientationPatient=list(AXIAL))
    one = enhanced([None] * 4, SOPClassUID="1.2.840.10008.5.1.4.1.1.20", PerFrameFunctionalGroupsSequence=None)
    del one.SharedFunctionalGroupsSequence
    one.DetectorInformationSequence, one.FrameIncrementPointer = Items([detector]), pointers
    one.SpacingBetweenSlices, one.PixelSpacing, one.SliceVector = spacing, [1.0, 1.5], [1, 2, 3, 4]
    for keyword, value in tags.items():
        setattr(one, keyword, value)
    return one


def written(path: Path, one: Dataset) -> Path:
    """The file of an object."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(saved(one))
    return path


def as_series(
    folder: Path, positions: Sequence[Sequence[float]], pixels: np.ndarray, orientation: Sequence[float] = AXIAL
) -> Path:
    """The same frames, one a file."""
    folder.mkdir()
    colour: dict[str, Any] = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    for number, (place, frame) in enumerate(zip(positions, pixels, strict=True)):
        tags = {"ImagePositionPatient": list(place), "ImageOrientationPatient": list(orientation)}
        one = dataset(frame, number, PixelSpacing=list(SPACING), **tags, **(colour if frame.ndim == 3 else {}))
        (folder / f"{number:03}.dcm").write_bytes(saved(one))
    return folder


def patient() -> dict[str, str]:
    """What a DICOM SEG takes over from its series."""
    empty = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName")
    return {
        **dict.fromkeys((*empty, "StudyID", "PositionReferenceIndicator"), ""),
        "PatientName": "Phantom",
        "FrameOfReferenceUID": "1.2.3.9",
        "SeriesNumber": "1",
        "Manufacturer": "Phantom",
    }


def series_in(folder: Path, parts: tuple[int, ...] = (5,), colour: bool = False) -> Path:
    """A series of five frames in no order, in as many files as there are parts."""
    positions, pixels = at(ORDER, OBLIQUE), stored(5, colour)
    ends = np.cumsum(parts)
    for number, (start, end) in enumerate(zip(ends - parts, ends, strict=True)):
        one = enhanced(positions[start:end], pixels[start:end], OBLIQUE, number=number, **patient())
        written(folder / f"{number:05}.dcm", one)
    return folder


def drawn(reference: sitk.Image) -> sitk.Image:
    """A label of 1 and 2 on the grid of a series of at least four frames."""
    values = np.zeros(reference.GetSize()[::-1], np.uint8)
    values[1:4, 2:6, 3:8], values[3, 3:5, 4:6] = 1, 2
    label = sitk.GetImageFromArray(values)
    label.CopyInformation(reference)
    return label
