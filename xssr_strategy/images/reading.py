"""Image file in, MetaTensor out: one function reads every format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import EnsureChannelFirst

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.nifti import FROM_OTHER, NIFTI, nifti_header
from xssr_strategy.images.readers import reader_of
from xssr_strategy.images.refusal import Refused, refuse_affine

_KEPT_META = ("filename_or_obj", "original_affine", "spatial_shape", "space", FROM_OTHER)


class UnreadableImage(UserError):  # noqa: N818
    """An image file that cannot be used; the message names the file, the reason and the remedy."""


def read_image(path: str | Path, layered: bool = False) -> MetaTensor:
    """Read an image of any format in ``listing.EXTENSIONS``, or a DICOM series directory.

    The array is as stored and as MONAI's ``LoadImage`` orders it, channel first. A volume of one slice is returned
    as a 2-D image. DICOM values have their rescale slope and intercept applied, those of each frame, a series is
    sorted by position (and is grey), as are the frames of one or more files (grey or colour), and MONOCHROME1 is
    inverted within its bit depth, so that bright means dense.

    Returns:
        float32 (C, X, Y) or (C, X, Y, Z), C being 1, 3 or 4. ``affine`` is always 4 x 4, RAS, in mm, which MONAI's
        2-D transforms (Resize, Invertd) accept for 2-D images too; its first columns belong to the image's axes, and
        those of a one-slice volume are permuted to that end. ``meta`` keeps ``filename_or_obj``, ``spatial_shape``
        and ``original_affine``; the last two are those of the file.

    Args:
        path: of the file or directory.
        layered: take any number of channels, which are the layers of a segmentation.

    EXIF orientation is not applied: viewers show, and labels have, the grid as it is stored.

    Raises:
        UnreadableImage: missing, not permitted, damaged, empty, of another format than its name says, too large for
            the memory, more than three dimensions, several pictures, a number of channels other than 1, 3 or 4,
            complex, NaN or infinite values, voxels in another folder, a series with missing, doubled or unreadable
            slices, a cine or a time series, or an unusable spacing or affine.
    """
    path = Path(path)
    _look(path)
    try:
        image = _load(path)
    except Refused as error:
        raise UnreadableImage(f"{path}: {error}") from error
    except MemoryError as error:
        raise UnreadableImage(f"{path}: does not fit into memory; crop or downsample the image") from error
    except Exception as error:  # each library has its own, and none of them is meant for people
        raise UnreadableImage(
            f"{path}: is damaged or of another format than its name says; export it again or remove it from the folder"
        ) from error
    return _checked(image, path, layered)


def read_grid(path: str | Path) -> MetaTensor:
    """As :func:`read_image`, for shape and place alone: the values of a NIfTI file are not read, and are zero.

    Raises:
        UnreadableImage: as :func:`read_image`.
    """
    path = Path(path)
    if image_extension(path) not in NIFTI or not path.is_file():
        return read_image(path)
    _look(path)
    try:
        header = nifti_header(path)
        shape, affine = header.shape, torch.as_tensor(header.affine)
    except Refused as error:
        raise UnreadableImage(f"{path}: {error}") from error
    except Exception as error:  # nibabel has several
        raise UnreadableImage(f"{path}: is damaged; export it again or remove it from the folder") from error
    meta = {
        "filename_or_obj": str(path),
        "original_affine": affine,
        "spatial_shape": np.array(shape[:3]),
        **header.extra,
    }
    grid = MetaTensor(torch.zeros((1, *shape[:3]), dtype=torch.uint8), affine=affine, meta=meta)
    return _checked(grid, path)


def _look(path: Path) -> None:
    """Whether there is something that may be read."""
    if not path.exists():
        raise UnreadableImage(f"{path}: does not exist; put the file back or list the folder again")
    if not os.access(path, os.R_OK):
        raise UnreadableImage(f"{path}: may not be read by the user who runs this; change its permissions")
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableImage(f"{path}: is an empty file; export it again or remove it from the folder")


def _load(path: Path) -> MetaTensor:
    """MONAI's ``LoadImage``, less its constructor, which looks for every optional reader and warns of each."""
    reader = reader_of(path)
    array, meta = reader.get_data(reader.read((str(path),)))
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        pixels = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    meta["filename_or_obj"] = str(path)
    return cast(MetaTensor, EnsureChannelFirst()(MetaTensor(pixels, meta=meta)))


def _checked(image: MetaTensor, path: Path, layered: bool = False) -> MetaTensor:
    """Two or three spatial axes, finite values, a usable 4 x 4 affine, and no metadata but ``_KEPT_META``."""
    pixels, affine = image.as_tensor(), to_affine_nd(3, image.affine)
    problem = None
    if pixels.numel() == 0:
        problem = "has no pixels; export it again"
    elif pixels.ndim not in (3, 4):
        problem = f"has {pixels.ndim - 1} dimensions; export a 2-D image or a single volume"
    elif pixels.shape[0] not in (1, 3, 4) and not layered:
        problem = f"has {pixels.shape[0]} channels; export it as grey or RGB"
    elif not torch.isfinite(torch.stack(torch.aminmax(pixels))).all():  # both are NaN if one value is
        problem = "contains NaN or infinite values; replace them by the value of air or background"
    if problem is not None:
        raise UnreadableImage(f"{path}: {problem}")
    try:
        refuse_affine(affine.numpy())
    except Refused as error:
        raise UnreadableImage(f"{path}: {error}") from error
    if pixels.ndim == 4 and 1 in pixels.shape[1:]:
        axis = pixels.shape[1:].index(1)
        pixels = pixels.squeeze(axis + 1)
        affine = affine[:, [*(other for other in range(3) if other != axis), axis, 3]]
    return MetaTensor(pixels, affine=affine, meta={key: image.meta[key] for key in _KEPT_META if key in image.meta})
