"""What the header of a DICOM file with several frames says of each frame: its place, its rescale, what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from xssr_strategy.images.refusal import Refused

_TIME_POINTERS = frozenset({"FrameTime", "FrameTimeVector"})
_SLICES = frozenset({"SliceVector"})  # the one vector of nuclear medicine that counts slices
_VECTORS = _SLICES | {
    "EnergyWindowVector", "DetectorVector", "PhaseVector", "RotationVector", "RRIntervalVector", "TimeSlotVector",
    "AngularViewVector",
}  # fmt: skip
_CINE = tuple(  # storage classes whose frames follow one another in time
    f"1.2.840.10008.5.1.4.1.1.{kind}"
    for kind in (
        "3", "3.1",  # ultrasound
        "12.1", "12.1.1",  # X-ray angiography
        "12.2", "12.2.1",  # X-ray fluoroscopy
        "77.1.1.1", "77.1.2.1", "77.1.4.1",  # video
    )
)  # fmt: skip
_POSITION = (
    ("PlanePositionSequence", "ImagePositionPatient"),
    ("PlanePositionVolumeSequence", "ImagePositionVolume"),  # of ultrasound
)
_ORIENTATION = (
    ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ("PlaneOrientationVolumeSequence", "ImageOrientationVolume"),
)
_SPACING = ("PixelMeasuresSequence", "PixelSpacing")
_SHOWN = (  # what may tell images of one place apart, by its path in a frame's functional groups; the first counts
    ("segments", "SegmentIdentificationSequence", "ReferencedSegmentNumber"),
    ("diffusion weightings", "MRDiffusionSequence", "DiffusionBValue"),
    ("diffusion directions", "MRDiffusionSequence", "DiffusionGradientDirectionSequence"),
    ("echo times", "MREchoSequence", "EffectiveEchoTime"),
    ("kinds of image", "MRImageFrameTypeSequence", "FrameType"),
    ("kinds of image", "MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("kinds of image", "CTImageFrameTypeSequence", "FrameType"),
    ("kinds of image", "PETFrameTypeSequence", "FrameType"),
    ("cardiac phases", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("respiratory phases", "RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase"),
    ("time points", "FrameContentSequence", "TemporalPositionIndex"),
    ("time points", "TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("time points", "FrameContentSequence", "FrameReferenceDateTime"),
    ("time points", "FrameContentSequence", "FrameAcquisitionDateTime"),
)


@dataclass(frozen=True)
class Frame:
    """One frame of a file.

    Attributes:
        position: (3,) of the centre of the first pixel, in mm, LPS.
        orientation: (6,) directions along a row and along a column.
        spacing: (2,) between rows and between columns, in mm.
        rescale: slope and intercept of its own, or None where the file has one for all or none.
        shown: values of what ``_SHOWN`` names.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    rescale: tuple[float, float] | None
    shown: tuple[str, ...]


def frames_of(header: Dataset) -> list[Frame]:
    """The frames of a file in the order in which it stores them; none where the header tells no place of each.

    Args:
        header: of a file with several frames, or of an enhanced object with one; no pixels are needed.

    Raises:
        Refused: a cine, frames without any place, or a header that does not describe each of them.
        ValueError, TypeError: numbers that are none.
    """
    _refuse_time(header)
    count = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        return _evenly_placed(header, count)
    if "TotalPixelMatrixColumns" in header:
        raise Refused("holds the tiles of a whole slide; export a region of it as PNG or TIFF")
    if len(groups) != count:
        raise Refused(f"has {count} frames but describes {len(groups)} of them; export it again")
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    return [_frame(own, shared) for own in groups]


def differing(frames: Sequence[Frame]) -> str:
    """What tells frames of one place apart, such as ``echo times``; empty if the header does not say it."""
    rows = zip(_SHOWN, zip(*(frame.shown for frame in frames), strict=True), strict=True)
    return next((shown[0] for shown, values in rows if len(set(values)) > 1), "")


def _refuse_time(header: Dataset) -> None:
    """Refuse frames that show one plane over time, or that the header numbers by something else than slices."""
    count = int(header.get("NumberOfFrames") or 1)
    if count < 2:
        return
    pointers = set(_pointers(header))
    timed = pointers & _TIME_POINTERS or (not pointers and any(keyword in header for keyword in _TIME_POINTERS))
    if timed or header.get("SOPClassUID") in _CINE:
        raise Refused(f"is a cine of {count} frames; export the frames to annotate as images of their own")
    if (pointers & _VECTORS) - _SLICES and _varies(header, (pointers & _VECTORS) - _SLICES):
        raise Refused(
            f"holds {count} frames that are no slices of one volume (time points, phases, energies or views); "
            "export the reconstructed volume"
        )


def _pointers(header: Dataset) -> Iterator[str]:
    """Keywords of the attributes by which the frames are numbered."""
    pointer = header.get("FrameIncrementPointer")
    for tag in [] if pointer is None else [pointer] if isinstance(pointer, int) else pointer:
        yield keyword_for_tag(tag)


def _varies(header: Dataset, keywords: set[str]) -> bool:
    """Whether one of these vectors holds different numbers, or is not there."""
    return any(len(set(np.atleast_1d(header.get(keyword, [0, 1])).tolist())) > 1 for keyword in keywords)


def _frame(own: Dataset, shared: Dataset) -> Frame:
    def value(keywords: Sequence[str], among: Sequence[Dataset] = (own, shared)) -> Any:
        """Of one attribute, by its sequence and keyword."""
        for groups in among:
            for item in groups.get(keywords[0]) or ():
                if keywords[1] in item:
                    return item[keywords[1]].value
        return None

    def numbers(*paths: Sequence[str]) -> tuple[float, ...]:
        found = next((one for path in paths if (one := value(path)) is not None), ())
        return tuple(float(number) for number in found)

    slope = value(("PixelValueTransformationSequence", "RescaleSlope"))
    intercept = value(("PixelValueTransformationSequence", "RescaleIntercept"))
    return Frame(
        numbers(*_POSITION),
        numbers(*_ORIENTATION),
        numbers(_SPACING),
        None if slope is None else (float(slope), float(intercept or 0)),
        tuple(str(value(path[1:])) for path in _SHOWN),
    )


def _evenly_placed(header: Dataset, count: int) -> list[Frame]:
    """The frames of an object that gives the first place and the steps from it: a dose, or nuclear medicine."""
    detector = (header.get("DetectorInformationSequence") or [header])[0]
    position, orientation = (detector.get(key) for key in ("ImagePositionPatient", "ImageOrientationPatient"))
    if not position and "SpacingBetweenSlices" not in header:
        raise Refused(f"holds {count} frames without a position in space; export each as an image of its own")
    steps: Any = header.get("GridFrameOffsetVector")
    if steps is None and "DetectorInformationSequence" in header and "SpacingBetweenSlices" in header:
        steps = float(header.SpacingBetweenSlices) * np.arange(count)
    if steps is None or len(steps) != count or not position or not orientation or "PixelSpacing" not in header:
        return []
    first, directions = np.array(position, dtype=float), np.array(orientation, dtype=float)
    normal = np.cross(directions[:3], directions[3:])
    offsets: NDArray[np.float64] = np.array(steps, dtype=float)
    spacing = tuple(float(step) for step in header.PixelSpacing)
    places = [first + offset * normal for offset in offsets - offsets[0]]
    return [Frame(tuple(place), tuple(directions), spacing, None, ("",) * len(_SHOWN)) for place in places]
