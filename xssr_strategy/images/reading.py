"""Image file in, MetaTensor out: one function reads every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import itk
import nibabel as nib
import numpy as np
import torch
from monai.data import ImageReader, ITKReader, MetaTensor, NibabelReader, PILReader
from monai.data.utils import to_affine_nd
from monai.transforms import EnsureChannelFirst
from PIL import Image

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension

_NIFTI = (".nii.gz", ".nii")
_PIL = (".png", ".jpg", ".jpeg")
_PIL_PLAIN_MODES = ("L", "RGB", "F", "I", "I;16", "I;16B", "I;16L", "I;16N")  # stored values survive np.asarray
_KEPT_META = ("filename_or_obj", "original_affine", "spatial_shape", "space")
_TIME_SERIES = "has four or more dimensions; export a single volume of it"


class UnreadableImage(UserError):  # noqa: N818
    """An image file that cannot be used; the message names the file, the reason and the remedy."""


def read_image(path: str | Path) -> MetaTensor:
    """Read an image of any format in ``listing.EXTENSIONS``, or a DICOM series directory.

    The array is as stored and as MONAI's ``LoadImage`` orders it, channel first. A volume of one slice is returned
    as a 2-D image. DICOM values have their rescale slope and intercept applied, a series is sorted by position (and
    is grey), and MONOCHROME1 is inverted within its bit depth (by ITK), so that bright means dense.

    Returns:
        float32 (C, X, Y) or (C, X, Y, Z), C being 1, 3 or 4. ``affine`` is always 4 x 4, RAS, in mm, which MONAI's
        2-D transforms (Resize, Invertd) accept for 2-D images too; its first columns belong to the image's axes, and
        those of a one-slice volume are permuted to that end. ``meta`` keeps ``filename_or_obj``, ``spatial_shape``
        and ``original_affine``; the last two are those of the file.

    Raises:
        UnreadableImage: missing, damaged, empty, more than three dimensions, a number of channels other than 1, 3
            or 4, NaN or infinite values, or an unusable affine.
    """
    path = Path(path)
    if not path.exists():
        raise UnreadableImage(f"{path}: does not exist; put the file back or list the folder again")
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableImage(f"{path}: is an empty file; export it again or remove it from the folder")
    try:
        image = _load(path)
    except _NotOneImage as error:
        raise UnreadableImage(f"{path}: {error}") from error
    except MemoryError as error:
        raise UnreadableImage(f"{path}: does not fit into memory; crop or downsample the image") from error
    except Exception as error:  # each library has its own, and none of them is meant for people
        raise UnreadableImage(
            f"{path}: is damaged or of another format than its name says; export it again or remove it from the folder"
        ) from error
    return _checked(image, path)


def read_grid(path: str | Path) -> MetaTensor:
    """As :func:`read_image`, for shape and place alone: the values of a NIfTI file are not read, and are zero.

    Raises:
        UnreadableImage: as :func:`read_image`.
    """
    path = Path(path)
    if image_extension(path) not in _NIFTI or not path.is_file():
        return read_image(path)
    try:
        header: Any = nib.load(path)
        shape, affine = header.shape, torch.as_tensor(header.affine)
    except Exception as error:  # nibabel has several
        raise UnreadableImage(f"{path}: is damaged; export it again or remove it from the folder") from error
    if any(count > 1 for count in shape[3:]):
        raise UnreadableImage(f"{path}: {_TIME_SERIES}")
    meta = {"filename_or_obj": str(path), "original_affine": affine, "spatial_shape": np.array(shape[:3])}
    return _checked(MetaTensor(torch.zeros((1, *shape[:3]), dtype=torch.uint8), affine=affine, meta=meta), path)


class _NotOneImage(Exception):  # noqa: N818  # turned into an UnreadableImage by read_image
    """Raised inside the readers, which do not know the path: the reason and the remedy."""


class _VolumeReader(ITKReader):
    """ITKReader that reads every pixel type as float and refuses 4-D images and mixed series.

    ``itk.imread`` would hand on a time axis as channels, fail on pixel types that the ITK package does not wrap
    (8-bit vectors), and force the pixel type of a series' first slice, whose rescale slope may differ, on all others.
    """

    def read(self, data: Any, **kwargs: Any) -> Any:
        (name,) = data
        if Path(name).is_dir():
            names = itk.GDCMSeriesFileNames.New(Directory=name, UseSeriesDetails=True)
            series = names.GetSeriesUIDs()
            if len(series) != 1:
                raise _NotOneImage(f"holds {len(series)} readable DICOM series; keep exactly one in each directory")
            return itk.imread(list(names.GetFileNames(series[0])), pixel_type=itk.F)
        header = itk.ImageIOFactory.CreateImageIO(name, itk.CommonEnums.IOFileMode_ReadMode)
        if header is None:
            raise ValueError("ITK knows no such format")
        header.SetFileName(name)
        header.ReadImageInformation()
        dimensions = header.GetNumberOfDimensions()
        if any(header.GetDimensions(axis) > 1 for axis in range(3, dimensions)):
            raise _NotOneImage(_TIME_SERIES)
        kind = itk.Image if header.GetNumberOfComponents() == 1 else itk.VectorImage
        reader = itk.ImageFileReader[kind[itk.F, min(dimensions, 3)]].New(FileName=name, ImageIO=header)
        reader.Update()
        return reader.GetOutput()


class _NiftiReader(NibabelReader):
    """NibabelReader that refuses 4-D images, whose time axis it would hand on as channels."""

    def get_data(self, img: Any) -> tuple[np.ndarray, dict]:
        if any(count > 1 for count in img.shape[3:]):
            raise _NotOneImage(_TIME_SERIES)
        return super().get_data(img)


def _load(path: Path) -> MetaTensor:
    """MONAI's ``LoadImage``, less its constructor, which looks for every optional reader and warns of each."""
    reader = _reader(path)
    array, meta = reader.get_data(reader.read((str(path),)))
    pixels = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    meta["filename_or_obj"] = str(path)
    return cast(MetaTensor, EnsureChannelFirst()(MetaTensor(pixels, meta=meta)))


def _reader(path: Path) -> ImageReader:
    extension = image_extension(path)
    if extension in _NIFTI and path.is_file():
        return _NiftiReader()
    if extension in _PIL and path.is_file():
        return PILReader(converter=_plain_mode)
    return _VolumeReader()


def _plain_mode(image: Image.Image) -> Image.Image:
    """Palette, CMYK, alpha and 1-bit images as grey or RGB; 16- and 32-bit grey untouched (Pillow would clip it)."""
    if image.mode in _PIL_PLAIN_MODES:
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _checked(image: MetaTensor, path: Path) -> MetaTensor:
    """Two or three spatial axes, finite values, a usable 4 x 4 affine, and no metadata but ``_KEPT_META``."""
    pixels, affine = image.as_tensor(), to_affine_nd(3, image.affine)
    problem = None
    if pixels.numel() == 0:
        problem = "has no pixels; export it again"
    elif pixels.ndim not in (3, 4):
        problem = f"has {pixels.ndim - 1} dimensions; export a 2-D image or a single volume"
    elif pixels.shape[0] not in (1, 3, 4):
        problem = f"has {pixels.shape[0]} channels; export it as grey or RGB"
    elif not torch.isfinite(torch.stack(torch.aminmax(pixels))).all():  # both are NaN if one value is
        problem = "contains NaN or infinite values; replace them by the value of air or background"
    elif not (torch.isfinite(affine).all() and torch.linalg.det(affine[:3, :3]).abs() > 0):
        problem = "has an unusable affine (orientation and spacing) in its header; export it again"
    if problem is not None:
        raise UnreadableImage(f"{path}: {problem}")
    if pixels.ndim == 4 and 1 in pixels.shape[1:]:
        axis = pixels.shape[1:].index(1)
        pixels = pixels.squeeze(axis + 1)
        affine = affine[:, [*(other for other in range(3) if other != axis), axis, 3]]
    return MetaTensor(pixels, affine=affine, meta={key: image.meta[key] for key in _KEPT_META if key in image.meta})
