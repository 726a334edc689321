"""A DICOM series, one file for each slice, as a volume."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import itk
import numpy as np
from numpy.typing import NDArray

from xssr_strategy.images.listing import is_dicom
from xssr_strategy.images.refusal import Refused, refuse_excess, refuse_spacing
from xssr_strategy.images.stored_values import mend_colours, refuse_no_image

UNEVEN = 0.25  # our choice: rounding moves a slice by a few per cent of the usual step, a missing slice by all of it
TURNED = 1e-2  # our choice: direction cosines are often written with four digits
_TILTED = 0.01  # our choice, in pixels: rounding moves the last slice against the first by less, a tilt by more
_POSITION, _ORIENTATION, _SPACING = "0020|0032", "0020|0037", "0028|0030"
_BITS = ("0028|0002", "0028|0010", "0028|0011", "0028|0100")  # samples, rows, columns, bits of each
_TYPE = "0008|0008"
FRAMES, _COLOURS = "0028|0008", "0028|0004"
_PIXELS = re.compile(rb"\xe0\x7f\x10\x00O[BW]\x00\x00(.{4})", re.DOTALL)  # explicit, little-endian


def series_files(folder: Path) -> list[Path]:
    """The files of the one series of a folder, sorted by position as far as their headers tell it.

    Raises:
        Refused: none or several series, objects that are no images, or files that cannot be read.
        RuntimeError: of ITK.
    """
    for entry in folder.iterdir():
        if not stat.S_ISREG(mode := entry.stat().st_mode) and not stat.S_ISDIR(mode):
            raise Refused(f"holds {entry.name}, which is no file; remove it from the folder")  # GDCM would wait for it
    names = itk.GDCMSeriesFileNames.New(Directory=str(folder), UseSeriesDetails=True)
    series = names.GetSeriesUIDs()
    if not series:
        for entry in filter(is_dicom, sorted(folder.iterdir())):
            refuse_no_image(entry)
    if len(series) != 1:
        raise Refused(f"holds {len(series)} readable DICOM series; keep exactly one in each directory")
    files = [Path(name) for name in names.GetFileNames(series[0])]
    if len(files) < (present := sum(is_dicom(entry) for entry in folder.iterdir())):
        raise Refused(f"holds {present - len(files)} DICOM files that are damaged or hold no image; fetch it again")
    return files


def read_series(paths: Sequence[Path]) -> Any:
    """The files of one series, one for each slice, as an ITK volume, sorted by position.

    Each slice is read with its own rescale slope and intercept, which may differ. Of a series with a tilted gantry the
    volume is sheared: each slice lies where the scanner measured it.

    Raises:
        Refused: slices that make no volume.
        RuntimeError: of ITK.
    """
    files = [str(path) for path in paths]
    header = itk.GDCMImageIO.New(FileName=files[0])
    header.ReadImageInformation()
    slices = [header.GetDimensions(axis) for axis in range(header.GetNumberOfDimensions())]
    refuse_excess([*slices, len(files)])
    if len(files) == 1:
        refuse_odd_slice(paths[0], header.GetMetaDataDictionary())
        if header.GetNumberOfComponents() == 1:
            return itk.imread(files, pixel_type=itk.F)
        coloured = itk.ImageFileReader[itk.VectorImage[itk.F, 3]].New(FileName=files[0], ImageIO=header)
        coloured.Update()
        mend_colours(itk.array_view_from_image(coloured.GetOutput()), paths[0])
        return coloured.GetOutput()
    reader = itk.ImageSeriesReader[itk.Image[itk.F, 3]].New(FileNames=files, ImageIO=header)
    reader.Update()
    tags = reader.GetMetaDataDictionaryArray()
    for file, one in zip(files, tags, strict=True):
        refuse_odd_slice(Path(file), one)
    positions = [_numbers(one, _POSITION) for one in tags]
    refuse_gaps(positions, [_numbers(one, _ORIENTATION) for one in tags])
    volume = reader.GetOutput()
    axes = itk.array_from_matrix(volume.GetDirection()) * np.array(volume.GetSpacing())
    step = slanted_step(positions[0], positions[-1], len(files), axes)
    if step is not None:
        axes[:, 2] = step
        spacing = np.linalg.norm(axes, axis=0)
        volume.SetSpacing(spacing)
        volume.SetDirection(itk.matrix_from_array(np.ascontiguousarray(axes / spacing)))
    return volume


def slanted_step(
    first: Sequence[float], last: Sequence[float], count: int, axes: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The step from slice to slice of a series, where its slices do not lie square above each other (gantry tilt).

    ITK's own series readers put them so all the same.

    Args:
        first, last: ImagePositionPatient of two slices, in mm.
        count: slices from the one to the other, both included.
        axes: (3, 3) steps along columns, rows and slices, in mm, as ITK has them.

    Returns:
        (3,) the difference of the positions by ``count - 1``; None where ITK's step is right.
    """
    step = np.subtract(last, first) / (count - 1)
    drift = np.linalg.norm(step - axes[:, 2]) * (count - 1)
    return step if drift > _TILTED * np.linalg.norm(axes[:, :2], axis=0).min() else None


def from_square(affine: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """From a place in the volume that ITK's own reader makes of a series to the one here.

    Args:
        affine: (4, 4) of the series, in mm; (3, 3) of a single slice.

    Returns:
        (4, 4); None where the two are the same, for the slices lie square above each other.
    """
    if len(affine) != 4:
        return None
    square = np.array(affine, dtype=np.float64)
    normal = np.cross(square[:3, 0], square[:3, 1])
    square[:3, 2] = normal / np.linalg.norm(normal) * np.linalg.norm(square[:3, 2])
    return None if np.allclose(square, affine, rtol=0.0, atol=1e-6) else affine @ np.linalg.inv(square)


def refuse_odd_slice(file: Path, tags: Any) -> None:
    """Refuse what GDCM would mend silently: a spacing of zero, an orientation without directions, too few pixels.

    A mosaic of Siemens, which holds the slices of a volume as tiles of one picture, is refused as well.

    Raises:
        Refused: one of these.
    """
    if tags.HasKey(_TYPE) and "MOSAIC" in str(tags[_TYPE]).strip().split("\\"):
        raise Refused("holds the slices of a volume as tiles of one picture (mosaic); convert it with dcm2niix")
    if spacing := _numbers(tags, _SPACING):
        refuse_spacing(spacing)
    orientation = _numbers(tags, _ORIENTATION)
    if len(orientation) == 6 and not np.cross(orientation[:3], orientation[3:]).any():
        raise Refused("has an unusable orientation in its header; export it again")
    bits = [_numbers(tags, tag)[:1] for tag in _BITS]
    if all(bits) and "422" not in str(tags[_COLOURS]):  # which keeps two of three values
        needed = math.prod(number for (number,) in [*bits, _numbers(tags, FRAMES)[:1] or [1.0]]) / 8
        match = _PIXELS.search(file.read_bytes())
        if match and int.from_bytes(match[1], "little") < needed:  # compressed pixels have all ones for a length
            raise Refused("is damaged: it holds fewer pixels than its header says; export it again")


def refuse_gaps(positions: Sequence[Sequence[float]], orientations: Sequence[Sequence[float]]) -> None:
    """Refuse slices whose places say that they are no volume.

    Args:
        positions: (3,) of each slice in mm, in the order of the volume.
        orientations: (6,) directions along a row and along a column.

    Raises:
        Refused: slices without a place, turned, doubled, missing or unevenly spaced.
    """
    if any(len(orientation) != 6 for orientation in orientations) or any(len(position) != 3 for position in positions):
        raise Refused("has slices without a position in space; convert it into a single file, such as NIfTI")
    if np.ptp(np.array(orientations), axis=0).max() > TURNED:
        raise Refused("has slices that are turned against each other; keep those of one direction in each directory")
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    places = np.array(positions) @ normal
    steps = np.diff(np.sort(places))
    usual = float(np.median(steps))
    if steps.min() <= UNEVEN * usual:
        raise Refused("has two slices at the same place; keep one image of each slice, or fetch the series again")
    if np.abs(np.diff(places) - np.sign(places[-1] - places[0]) * usual).max() > UNEVEN * usual:
        raise Refused(
            f"lies {steps.min():.2f} to {steps.max():.2f} mm from slice to slice, so that slices are missing or "
            "unevenly spaced; fetch all of the series again or resample it"
        )
    sideways = np.array(positions) - np.outer(places, normal)
    share = (places - places[0]) / (places[-1] - places[0])
    if np.abs(sideways - sideways[0] - np.outer(share, sideways[-1] - sideways[0])).max() > UNEVEN * usual:
        raise Refused("has slices that are shifted sideways against each other; resample it to one grid")


def _numbers(tags: Any, tag: str) -> list[float]:
    """The numbers of a tag; none if it is not there or holds no numbers."""
    if not tags.HasKey(tag):
        return []
    try:
        return [float(number) for number in str(tags[tag]).split("\\")]
    except ValueError:
        return []
