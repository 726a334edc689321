"""The volume of a series of an archive; sheared if the gantry was tilted.

SimpleITK's reader of series puts slices square all the same, its writer of NIfTI makes axes orthogonal, and its reader
of NIfTI refuses others; NRRD and MetaImage keep them. A DICOM SEG gives each frame its place, but readers take the
frames for a stack that is square.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from xssr_strategy.archive.multiframe import is_misread, volume_image
from xssr_strategy.errors import UserError
from xssr_strategy.images.readers import NiftiReader
from xssr_strategy.images.series import slanted_step
from xssr_strategy.images.versions import READING

_SQUARE = 1e-4  # cosine; ITK's own tolerance for the axes of NIfTI
_TURNED = 1e-2  # our choice: direction cosines are often written with four digits
_BESIDE = 0.1  # our choice, in slices
_DESCRIPTION = "ITK_FileNotes"  # what ITK calls NIfTI's field descrip
_MADE_BY = f"xssr-strategy, reading {READING}"
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def series_image(folder: Path) -> Any:
    """The volume of a series as a SimpleITK image, slices sorted by position; sheared if the gantry was tilted.

    Raises:
        UserError: it cannot be read.
    """
    if is_misread(folder):
        return volume_image(folder)
    try:
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
        if len(names) > 1:
            volume = sitk.ReadImage(names)
            lay_slices(volume, names)
            return volume
        (name,) = names or [str(next(folder.glob("*.dcm")))]
        return sitk.ReadImage(name, imageIO="GDCMImageIO")
    except (RuntimeError, StopIteration) as error:
        raise UserError(f"{folder.name}: the series cannot be decoded; export it again to the archive.") from error


def lay_slices(volume: Any, files: Sequence[str]) -> None:
    """Put the slices of a volume where the scanner measured them.

    Args:
        volume: SimpleITK image of the files; its axes are changed.
        files: DICOM slices in the order of the volume, at least two.
    """
    ends = [dcmread(files[place], specific_tags=["ImagePositionPatient"]) for place in (0, -1)]
    if all("ImagePositionPatient" in one for one in ends):
        first, last = ([float(value) for value in one.ImagePositionPatient] for one in ends)
        axes = _axes(volume)
        step = slanted_step(first, last, len(files), axes)
        if step is not None:
            _set_axes(volume, np.column_stack([axes[:, :2], step]))


def is_sheared(volume: Any) -> bool:
    """Whether the axes of a SimpleITK image are not at right angles."""
    direction = np.reshape(volume.GetDirection(), (3, 3))
    return bool(np.abs(direction.T @ direction - np.eye(3)).max() > _SQUARE)


def squared(volume: Any) -> Any:
    """An empty volume of the same slices, square above each other: what ITK's own reader makes of a tilted series."""
    square = sitk.Image(volume.GetSize(), sitk.sitkUInt8)
    square.SetOrigin(volume.GetOrigin())
    axes = _axes(volume)
    normal = np.cross(axes[:, 0], axes[:, 1])
    step = normal / np.linalg.norm(normal) * np.linalg.norm(axes[:, 2])
    _set_axes(square, np.column_stack([axes[:, :2], step]))
    return square


def set_slice_distance(frames: Dataset, volume: Any) -> None:
    """Write the distance between neighbouring planes into a DICOM SEG; of a sheared volume it is less than the step.

    Readers tell the order of the frames by it.

    Args:
        volume: SimpleITK image, on whose slices the frames lie.
    """
    axes = _axes(volume)
    normal = np.cross(axes[:, 0], axes[:, 1])
    distance = abs(axes[:, 2] @ normal) / np.linalg.norm(normal)
    measures = frames.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = f"{distance:.10g}"


def correct_slice_distance(file: Path, volume: Any) -> None:
    """Do :func:`set_slice_distance` to a DICOM SEG file that dcmqi has made of a sheared volume: it takes the step."""
    if is_sheared(volume):
        frames = dcmread(file)
        set_slice_distance(frames, volume)
        frames.save_as(file)


def on_slices(frames: Dataset, reference: Any) -> bool:
    """Whether the frames of a DICOM SEG lie on slices of a series, and are not cut across them.

    Args:
        reference: SimpleITK image of the series.
    """
    shared = frames.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    turned = np.reshape([float(value) for value in shared], (2, 3)) - np.reshape(reference.GetDirection(), (3, 3)).T[:2]
    places = [
        reference.TransformPhysicalPointToContinuousIndex(
            [float(value) for value in one.PlanePositionSequence[0].ImagePositionPatient]
        )
        for one in frames.PerFrameFunctionalGroupsSequence
    ]
    beside = [place[2] - round(place[2]) for place in places]
    return bool(np.abs(turned).max() < _TURNED and np.abs(beside).max() < _BESIDE)


def shear_like(frames: Any, reference: Any) -> None:
    """Put the frames of a SimpleITK image one above the other as the slices of a sheared reference are."""
    _set_axes(frames, np.column_stack([_axes(frames)[:, :2], _axes(reference)[:, 2]]))


def read_nifti(path: Path) -> Any:
    """A NIfTI volume, sheared or not, as a SimpleITK image.

    Raises:
        Refused: as :func:`xssr_strategy.images.nifti.nifti_header`.
        OSError, EOFError, zlib.error, nibabel.filebasedimages.ImageFileError: it is damaged or cut off.
    """
    header = NiftiReader().read((str(path),))
    voxels = np.asarray(header.dataobj)
    volume = sitk.GetImageFromArray(voxels.reshape(voxels.shape[:3]).T.astype(np.result_type(voxels, np.uint8)))
    if volume.GetDimension() == 3:
        lps = _TO_RAS @ header.affine
        _set_axes(volume, lps[:3, :3])
        volume.SetOrigin(lps[:3, 3].tolist())
    return volume


def write_nifti(volume: Any, path: Path) -> None:
    """Write a SimpleITK image as NIfTI, and into its header which reading made it (:func:`is_made_now`).

    A sheared one has the sform alone, as the qform can hold no shear.
    """
    if not is_sheared(volume):
        volume.SetMetaData(_DESCRIPTION, _MADE_BY)
        sitk.WriteImage(volume, str(path), useCompression=True)
        return
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = _axes(volume), volume.GetOrigin()
    image = nib.Nifti1Image(sitk.GetArrayFromImage(volume).T, _TO_RAS @ lps)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = _MADE_BY
    nib.save(image, path)


def is_made_now(file: Path) -> bool:
    """Whether a NIfTI file was written by :func:`write_nifti` under the present version of the reading."""
    try:
        image: Any = nib.load(file)
    except (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError):
        return False
    return bool(image.header["descrip"].item() == _MADE_BY.encode())


def _axes(volume: Any) -> NDArray[np.float64]:
    """(3, 3) steps along columns, rows and slices, in mm."""
    direction: NDArray[np.float64] = np.reshape(volume.GetDirection(), (3, 3))
    return direction * np.array(volume.GetSpacing())


def _set_axes(volume: Any, axes: NDArray[np.float64]) -> None:
    steps = np.linalg.norm(axes, axis=0)
    volume.SetSpacing(steps.tolist())
    volume.SetDirection((axes / steps).flatten().tolist())
