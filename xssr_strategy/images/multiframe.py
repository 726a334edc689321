"""DICOM files with several frames as one volume: sorted by place, each frame with its own rescale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import itk
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from xssr_strategy.images.frames import Frame, differing, frames_of
from xssr_strategy.images.refusal import Refused, refuse_excess, refuse_spacing
from xssr_strategy.images.series import TURNED, refuse_gaps, refuse_odd_slice
from xssr_strategy.images.stored_values import has_odd_bits, mend_colours

_SAME = 1e-2  # mm; our choice: two frames at one place, as far as headers round
_ROUNDED = 1e-3  # our choice: of a spacing, as far as headers round
_CLOSE = 0.05  # mm at a corner; our choice: directions with four digits leave as much open


def has_frames(file: Path) -> bool:
    """Whether a DICOM file holds several frames, or one whose place only its functional groups tell."""
    tags = ["NumberOfFrames", "ImagePositionPatient", "PerFrameFunctionalGroupsSequence"]
    header = dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
    if int(header.get("NumberOfFrames") or 1) > 1:
        return True
    return "PerFrameFunctionalGroupsSequence" in header and "ImagePositionPatient" not in header


def read_frames(files: Sequence[Path]) -> Any:
    """The frames of all files as an ITK volume of floats, sorted by place along their normal.

    ITK decodes the pixels, but takes the frames in the order in which they are stored, and the first one's rescale
    and distance for all. Here each frame has the place and the rescale of its own functional groups (DICOM PS3.3,
    C.7.6.16.2). Steps between slices lead from the first frame to the last: with a tilted gantry they are not normal
    to the slices. A single file that tells no place of each frame is as ITK reads it.

    Raises:
        Refused: cine and time series, or frames that make no volume.
        RuntimeError: of ITK.
    """
    frames = [frames_of(dcmread(file, stop_before_pixels=True, force=True)) for file in files]
    if not all(frames):
        if len(files) > 1:
            raise Refused("holds several files with several frames each; keep one in each directory")
        return _decoded(files[0], None)
    every = [frame for of_file in frames for frame in of_file]
    order = volume_order(every)
    decoded = [_decoded(file, of_file) for file, of_file in zip(files, frames, strict=True)]
    image = decoded[0] if len(decoded) == 1 else _joined(decoded)
    if order != list(range(len(order))):
        voxels = itk.array_view_from_image(image)
        voxels[:] = voxels[order]
    if len(every) > 1:
        _place(image, [every[index] for index in order])
    return image


def volume_order(frames: Sequence[Frame]) -> list[int]:
    """The indices of frames in the order of their places; of no volume, one sentence.

    Raises:
        Refused: frames without a place, several at one place, turned, shifted, missing or unevenly spaced.
    """
    spacings = [frame.spacing for frame in frames]
    if len(set(map(len, spacings))) > 1 or not np.allclose(spacings, spacings[0], rtol=_ROUNDED):
        raise Refused("has frames of different pixel spacing; resample it to one spacing")
    if frames[0].spacing:
        refuse_spacing(frames[0].spacing)
    positions, orientations = [frame.position for frame in frames], [frame.orientation for frame in frames]
    order = list(range(len(frames)))
    if len(frames) < 2:
        return order
    complete = all(len(place) == 3 for place in positions) and all(len(both) == 6 for both in orientations)
    if complete and np.ptp(np.array(orientations), axis=0).max() <= TURNED:
        places = np.array(positions) @ np.cross(orientations[0][:3], orientations[0][3:])
        order = np.argsort(places, kind="stable").tolist()
        _refuse_several(frames, places, order)
    refuse_gaps([positions[index] for index in order], [orientations[index] for index in order])
    return order


def _refuse_several(frames: Sequence[Frame], places: NDArray[np.float64], order: Sequence[int]) -> None:
    """Refuse volumes of one and the same place, by what tells them apart."""
    starts = np.flatnonzero(np.diff(places[order], prepend=-np.inf) > _SAME)
    groups = np.split(np.array(order), starts[1:])
    largest = max(groups, key=len)
    if len(largest) == 1:
        return
    kind = differing([frames[index] for index in largest])
    if kind == "time points":
        raise Refused(f"is a time series: it holds {len(largest)} time points of a slice; export one volume of it")
    told = f", which differ in their {kind}" if kind else ", as a time series does"
    raise Refused(f"holds {len(largest)} images of a slice{told}; export one volume of it")


def _decoded(file: Path, frames: Sequence[Frame] | None) -> Any:
    """The frames as ITK reads them, but each with its own rescale."""
    header = itk.GDCMImageIO.New(FileName=str(file))
    header.ReadImageInformation()
    sizes = [header.GetDimensions(axis) for axis in range(header.GetNumberOfDimensions())]
    refuse_excess([*sizes, header.GetNumberOfComponents()])
    refuse_odd_slice(file, header.GetMetaDataDictionary())
    if has_odd_bits(file):
        raise Refused("stores its frames as signed MONOCHROME1 or above unused bits; export them as MONOCHROME2")
    if frames is None:
        refuse_spacing([header.GetSpacing(axis) for axis in range(len(sizes))])
    kind = itk.Image if header.GetNumberOfComponents() == 1 else itk.VectorImage
    reader = itk.ImageFileReader[kind[itk.F, 3]].New(FileName=str(file), ImageIO=header)
    reader.Update()
    image = reader.GetOutput()
    if header.GetNumberOfComponents() == 3:
        mend_colours(itk.array_view_from_image(image), file)
    common = header.GetRescaleSlope(), header.GetRescaleIntercept()
    own = [frame.rescale or (1.0, 0.0) for frame in frames or ()]
    if any(frame.rescale for frame in frames or ()) and set(own) != {common}:
        voxels = itk.array_view_from_image(image)
        for values, (slope, intercept) in zip(voxels, own, strict=True):
            stored = np.rint((values.astype(np.float64) - common[1]) / common[0])
            values[:] = stored * slope + intercept
    return image


def _joined(images: Sequence[Any]) -> Any:
    """Several volumes one upon another."""
    arrays = [itk.array_view_from_image(image) for image in images]
    if len({array.shape[1:] for array in arrays}) > 1:
        raise Refused("has files whose frames differ in size; keep those of one size in each directory")
    refuse_excess([len(arrays), *arrays[0].shape])
    return itk.image_from_array(np.concatenate(arrays), ttype=type(images[0]))


def _place(image: Any, frames: Sequence[Frame]) -> None:
    """Give the image the geometry of its frames, unless it has it already."""
    first, last = np.array(frames[0].position), np.array(frames[-1].position)
    rows, columns = frames[0].orientation[:3], frames[0].orientation[3:]
    down, right = frames[0].spacing or (1.0, 1.0)
    step = (last - first) / (len(frames) - 1)
    axes = np.column_stack([np.array(rows) * right, np.array(columns) * down, step])
    now = itk.array_from_matrix(image.GetDirection()) * np.array(image.GetSpacing())
    sizes = np.array(image.GetLargestPossibleRegion().GetSize())
    if (np.abs(first - np.array(image.GetOrigin())) + np.abs(axes - now) @ sizes).max() <= _CLOSE:
        return  # so that ITK, by which viewers read, and we agree to the last digit
    lengths = np.linalg.norm(axes, axis=0)
    image.SetOrigin(first.tolist())
    image.SetSpacing(lengths.tolist())
    image.SetDirection(itk.matrix_from_array(axes / lengths))
