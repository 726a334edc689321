"""Files of masks, on the voxels of the image that they belong to."""

from __future__ import annotations

import errno
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.nifti import NIFTI, nifti_like

_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")  # no place in space, and some are lossy: labels go to PNG
_ITK = (".nrrd", ".mha")
VOLUMES = (*NIFTI, *_ITK)
"""Endings of the files that hold masks of volumes."""

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def mask_extension(source: Path, original: MetaTensor, requested: str | None = None) -> str:
    """The ending of the mask's file: the image's, or the one requested if it can hold the mask.

    Pictures give PNG; DICOM and whatever else has no lossless form of its own gives ``.nii.gz``.

    Args:
        source: file of the image, or folder of a series.
        original: the image as it is stored.
        requested: such as ``.nrrd``.
    """
    own = "" if source.is_dir() else image_extension(source)
    if requested:
        suffix = requested.lower().removeprefix(".seg")
        if suffix in VOLUMES or (suffix == ".png" and own in _PICTURES):
            return suffix
    if own in _PICTURES and original.ndim == 3:
        return ".png"
    if own == ".mhd":
        return ".mha"  # a label is one file
    return own if own in VOLUMES else ".nii.gz"


def write_mask(mask: NDArray[np.generic], original: MetaTensor, source: Path, file: str, compress: bool) -> None:
    """Write a mask.

    Args:
        mask: (*spatial) label numbers on the voxels of the image.
        original: the image as it is stored.
        source: its file, or folder of its series.
        file: to write, with an ending of :func:`mask_extension`.
        compress: NRRD and MetaImage.

    Raises:
        OSError: the file cannot be written.
    """
    affine = np.asarray(original.affine, dtype=np.float64)
    if mask.ndim == 2 and len(original.meta["spatial_shape"]) == 3:  # a volume of one slice becomes one again
        mask = mask.reshape(tuple(int(side) for side in original.meta["spatial_shape"]))
        affine = np.asarray(original.meta["original_affine"], dtype=np.float64)
    if file.endswith(NIFTI):
        own_header = source.is_file() and image_extension(source) in NIFTI
        nib.save(nifti_like(source, mask) if own_header else nib.Nifti1Image(mask, affine), file)
        return
    picture = mask.ndim == 2 and image_extension(source) in _PICTURES
    if picture and file.endswith(_ITK):  # 3D Slicer holds a picture as a volume of one slice, and needs three axes
        mask, affine, picture = mask[..., None], _LPS, False
    plane = affine[np.ix_([0, 1, 3], [0, 1, 3])]
    _write_itk(mask, file, None if picture else affine if mask.ndim == 3 else plane, compress)


def _write_itk(mask: NDArray[np.generic], file: str, affine: NDArray[np.float64] | None, compress: bool) -> None:
    """By ITK, whose axes run the other way round; ``affine`` is to RAS, or None for a picture."""
    image = itk.image_from_array(mask.transpose().copy())
    if affine is not None:
        dims = mask.ndim
        to_lps = _LPS[np.ix_([*range(dims), 3], [*range(dims), 3])] @ affine
        spacing = np.linalg.norm(to_lps[:-1, :-1], axis=0)
        image.SetDirection(itk.matrix_from_array(to_lps[:-1, :-1] / spacing))
        image.SetSpacing(spacing)
        image.SetOrigin(to_lps[:-1, -1])
    try:
        itk.imwrite(image, file, compress)
    except RuntimeError as error:  # ITK's, which says nothing of the disk
        raise OSError(errno.EIO, "the mask cannot be written", file) from error
