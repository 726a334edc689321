"""Where the voxels of a NIfTI file lie. ITK, and with it 3D Slicer, and nibabel differ on some headers: ITK decides.

nibabel takes the sform wherever its code is not 0, and knows no units. ITK takes the sform where it is orthonormal and
the qform's code is 0, or the sform's code is 1, or both are nearly the same, else the qform; the size of a voxel is
pixdim, in the unit that the header names; with both codes 0 the axes are those of the file, from the origin on
(``itkNiftiImageIO.cxx``, ``SetImageIOOrientationFromNIfTI``).
"""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.refusal import Refused, refuse_affine, refuse_excess, refuse_spacing

NIFTI = (".nii.gz", ".nii")
TIME_SERIES = "has four or more dimensions; export a single volume of it"

FROM_OTHER = "from_other_library"
"""In the metadata of an image that another library puts elsewhere: (4, 4), from a place there to one here, in mm."""

_SAME = 1e-3  # mm, and of the finest voxel: nearer than this, two geometries are one but for rounding (our choice)
_HALF_TURN = 1e-6  # our choice: below this square of the quaternion's real part, the libraries round it differently
_UNITS = {1: 1e3, 3: 1e-3}  # mm in a metre and in a micrometre; ITK takes everything else for mm
_PLACE = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nifti_header(path: str | Path) -> Any:
    """A NIfTI image of which only the header was read, and found usable; its ``affine`` is ITK's, in mm.

    ``extra`` holds ``FROM_OTHER`` where nibabel's affine is another one.

    Raises:
        Refused: a time series, colours, complex numbers, too large, or without spacing or affine.
    """
    image: Any = nib.load(path)
    kind = image.get_data_dtype()
    if any(count > 1 for count in image.shape[3:]):
        raise Refused(TIME_SERIES)
    if kind.fields is not None:
        raise Refused("holds colours; export it in grey")
    if kind.kind == "c":
        raise Refused("holds complex numbers; export the magnitude")
    refuse_excess(image.shape)
    stored = _stored_header(path, image)
    if not (stored["qform_code"] or stored["sform_code"]):
        refuse_spacing([float(step) for step in stored["pixdim"][1 : 1 + min(len(image.shape), 3)]])
    affine = _affine(path, image, stored)
    refuse_affine(affine)
    extra = {}
    with suppress(Refused):  # nibabel's may be none
        refuse_affine(image.affine)
        if not np.array_equal(affine, image.affine):
            extra[FROM_OTHER] = affine @ np.linalg.inv(image.affine)
    return type(image)(image.dataobj, affine, image.header, extra)


def nifti_like(path: str | Path, voxels: NDArray[Any]) -> Any:
    """A NIfTI image of other voxels in the place of a file's: both forms, their codes and the units are the file's.

    So every reader puts the two onto each other, whatever it makes of the header.

    Args:
        path: of a NIfTI file.
        voxels: of the file's shape, of a type that NIfTI knows.
    """
    image: Any = nib.load(path)
    stored = _stored_header(path, image)
    header = type(stored)()
    header.set_data_dtype(voxels.dtype)
    for field in _PLACE:
        header[field] = stored[field]
    return type(image)(voxels, None, header)


def is_placed_alike(path: str | Path) -> bool:
    """Whether every library puts a NIfTI file into one place, by its header alone."""
    image: Any = nib.load(path)
    stored = _stored_header(path, image)
    return _unit(stored) == 1.0 and _read_alike(image, stored)


def _unit(stored: Any) -> float:
    """Millimetres in the unit of a header."""
    return _UNITS.get(int(stored["xyzt_units"]) % 8, 1.0)


def _affine(path: str | Path, image: Any, stored: Any) -> NDArray[np.float64]:
    """ITK's (4, 4) RAS affine in mm; nibabel's own numbers where it is the same, or where ITK reads no such file.

    ITK reads no sheared sform without a qform, and no NIfTI-2.
    """
    unit = _unit(stored)
    own: NDArray[np.float64] = np.diag([unit, unit, unit, 1.0]) @ image.affine if unit != 1.0 else image.affine
    if unit == 1.0 and _read_alike(image, stored):
        return own
    with suppress(RuntimeError, Refused):
        affine = _itk_affine(path)
        refuse_affine(affine)
        return own if _same(affine, own, image.shape) else affine
    return own


def _read_alike(image: Any, stored: Any) -> bool:
    """Whether no library can be of another opinion: the forms that have a code, and pixdim, say the same."""
    header, axes = image.header, min(len(image.shape), 3)
    try:
        forms = [form for form, code in (header.get_sform(coded=True), header.get_qform(coded=True)) if code]
    except (ValueError, nib.spatialimages.HeaderDataError):  # a quaternion that is none
        return False
    real = 1.0 - sum(float(stored[part]) ** 2 for part in ("quatern_b", "quatern_c", "quatern_d"))
    if not forms or (stored["qform_code"] and 0.0 < real < _HALF_TURN):
        return False
    sizes = np.array([nib.affines.voxel_sizes(form)[:axes] for form in forms])
    return np.allclose(sizes, stored["pixdim"][1 : 1 + axes], rtol=1e-5, atol=0.0) and all(
        _same(form, forms[0], image.shape) for form in forms
    )


def _same(one: NDArray[Any], other: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Whether two affines put all corners of a volume (or the pixels of a plane) into one place."""
    axes = min(len(shape), 3)
    sides = np.array([*shape[:axes], *(0,) * (3 - axes), 1])
    far = float(np.linalg.norm(np.abs(np.asarray(one, dtype=np.float64) - other)[:axes] @ sides))
    return far <= _SAME * min(1.0, *nib.affines.voxel_sizes(other)[:axes])


def _itk_affine(path: str | Path) -> NDArray[np.float64]:
    """As ITK reads the header; of a plane the third axis is made up.

    Raises:
        RuntimeError: ITK reads no such file.
    """
    header = itk.NiftiImageIO.New(FileName=str(path))
    header.SetSFORM_Permissive(False)  # whatever ITK_NIFTI_SFORM_PERMISSIVE says here, the viewer is elsewhere
    header.ReadImageInformation()
    axes = min(header.GetNumberOfDimensions(), 3)
    affine = np.eye(4)
    for axis in range(axes):
        affine[:axes, axis] = np.multiply(header.GetDirection(axis)[:axes], header.GetSpacing(axis))
        affine[axis, 3] = header.GetOrigin(axis)
    return _TO_RAS @ affine


def _stored_header(path: str | Path, image: Any) -> Any:
    """As the file has it: nibabel mends what is zero or negative."""
    with gzip.open(path) if image_extension(Path(path)) == ".nii.gz" else open(path, "rb") as file:
        return type(image.header).from_fileobj(file, check=False)
