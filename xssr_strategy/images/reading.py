"""Image file in, MetaTensor out: one function reads every format, the others bring the result into a preset's shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import itk
import nibabel as nib
import numpy as np
import torch
from monai.data import ImageReader, ITKReader, MetaTensor, NibabelReader, PILReader
from monai.data.utils import to_affine_nd
from monai.transforms import EnsureChannelFirst, Orientation
from PIL import Image
from torch import Tensor

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.preset import PRESETS, Preset

_NIFTI = (".nii.gz", ".nii")
_PIL = (".png", ".jpg", ".jpeg")
_PIL_PLAIN_MODES = ("L", "RGB", "F", "I", "I;16", "I;16B", "I;16L", "I;16N")  # stored values survive np.asarray
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, section 2.5.1
_PERCENTILE_VOXELS = 1_000_000  # our choice: above this many values, percentiles are taken on every n-th value
_KEPT_META = ("filename_or_obj", "original_affine", "spatial_shape", "space")
_TIME_SERIES = "has four or more dimensions; export a single volume of it"

TO_RAS = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))
"""What ``conform`` does to a volume's axes; ``TO_RAS.inverse(image)`` undoes it."""


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


def conform(image: MetaTensor, preset: Preset, path: str | Path = "the image") -> MetaTensor:
    """Bring an image of ``read_image`` to the preset's channels, and a volume to RAS axes (tracked: see ``TO_RAS``).

    Grey becomes RGB by repetition, RGB becomes grey by luminance (ITU-R BT.601), alpha is dropped.

    Args:
        image: (C, X, Y) or (C, X, Y, Z), C being 1, 3 or 4.
        preset: what the image has to look like.
        path: named in the error.

    Returns:
        (preset.channels, X, Y) or (preset.channels, R, A, S).

    Raises:
        UnreadableImage: a volume under a 2-D preset or the reverse.
    """
    spatial_dims = image.ndim - 1
    if spatial_dims != preset.spatial_dims:
        names = " or ".join(f"'{other.name}'" for other in PRESETS.values() if other.spatial_dims == spatial_dims)
        raise UnreadableImage(
            f"{path}: is a {spatial_dims}-D image but preset '{preset.name}' is for {preset.spatial_dims}-D images; "
            f"remove the file from the folder or start with --conf preset {names}"
        )
    if image.shape[0] != preset.channels:
        image = _with_channels(image, preset.channels)
    return cast(MetaTensor, TO_RAS(image)) if spatial_dims == 3 else image


def scale_intensity(image: Tensor, preset: Preset) -> Tensor:
    """Map the preset's window, or the image's own percentiles, linearly to [0, 1] and clip.

    All channels share one range. Above a million values the percentiles are taken on every n-th value only, which
    moves them by less than the noise of an image. Percentiles that coincide give way to minimum and maximum.

    Args:
        image: any shape; a MetaTensor stays one.

    Returns:
        float32 of the same shape; zeros if the image is constant.
    """
    low, high = _intensity_range(image, preset)
    if not low < high:
        return torch.zeros_like(image, dtype=torch.float32)
    return image.to(torch.float32).sub(low).div_(high - low).clamp_(0.0, 1.0)


def spacing_of(image: MetaTensor) -> tuple[float, ...]:
    """Distance between neighbouring pixels along each spatial axis, in mm (in pixels where the file has no unit)."""
    columns = image.affine[:-1, : image.ndim - 1]
    return tuple(float(length) for length in torch.linalg.vector_norm(columns, dim=0))


def fit(image: Tensor, size: int, spacing: Sequence[float]) -> Tensor:
    """Resample an image into a square or cube, its physical proportions kept, and pad symmetrically with zeros.

    The longest physical extent (voxels * spacing) fills ``size``. Each axis is resampled linearly with the filter
    widened by the reduction factor, which is torch's ``interpolate(mode="bilinear", antialias=True)`` in any number
    of dimensions.

    Args:
        image: (C, *spatial).
        size: side of the result.
        spacing: one positive number for each spatial axis, any unit.

    Returns:
        Plain float32 tensor (C, size, ..., size).
    """
    resampled = _plain(image).to(torch.float32)
    extents = [count * step for count, step in zip(image.shape[1:], spacing, strict=True)]
    padding: list[int] = []
    for extent in extents:
        target = max(1, round(size * extent / max(extents)))
        # Contracting axis 1 appends the new axis at the end, so the next spatial axis is always axis 1.
        weights = _resampling_weights(resampled.shape[1], target).to(resampled.device)
        resampled = torch.tensordot(resampled, weights, dims=([1], [1]))
        before = (size - target) // 2
        padding = [before, size - target - before, *padding]  # torch counts from the last axis
    return torch.nn.functional.pad(resampled, padding)


def encoder_input(path: str | Path, preset: Preset) -> Tensor:
    """What the encoder sees of a file: read, conformed, scaled and fitted.

    Returns:
        Plain float32 tensor (preset.channels, size, ...) with values in [0, 1], size being ``preset.encoder_size``.

    Raises:
        UnreadableImage: as ``read_image`` and ``conform``.
    """
    image = conform(read_image(path), preset, path)
    fitted = fit(scale_intensity(_plain(image), preset), preset.encoder_size, spacing_of(image))
    return fitted.clamp_(0.0, 1.0)  # sums of weights are 1 but for rounding


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


def _with_channels(image: MetaTensor, channels: int) -> MetaTensor:
    pixels = _plain(image)[:3]
    if channels == 3 and pixels.shape[0] == 1:
        pixels = pixels.repeat(3, *(1 for _ in pixels.shape[1:]))
    elif channels == 1:
        weights = torch.tensor(_LUMINANCE, dtype=pixels.dtype, device=pixels.device)
        pixels = torch.tensordot(weights, pixels, dims=1).unsqueeze(0)
    return MetaTensor(pixels, meta=dict(image.meta), applied_operations=image.applied_operations)


def _intensity_range(image: Tensor, preset: Preset) -> tuple[float, float]:
    values = _plain(image).detach().flatten()
    low, high = (float(value) for value in torch.aminmax(values))
    if low == high:
        return low, high
    if preset.window is not None:
        return preset.window
    stride = math.ceil(len(values) / _PERCENTILE_VOXELS)
    sample = values[:: stride | 1].cpu().numpy()  # odd, so that it does not fall into step with rows of 2^n pixels
    first, last = (float(value) for value in np.percentile(sample, preset.percentiles))
    return (first, last) if first < last else (low, high)


def _plain(image: Tensor) -> Tensor:
    return image.as_tensor() if isinstance(image, MetaTensor) else image


def _resampling_weights(source: int, target: int) -> Tensor:
    """(target, source) weights of a linear (triangle) filter, widened where ``target`` is smaller; rows sum to 1."""
    scale = source / target
    centres = (torch.arange(target, dtype=torch.float32) + 0.5) * scale - 0.5
    distances = torch.arange(source, dtype=torch.float32) - centres.unsqueeze(1)
    weights = (1.0 - distances.abs() / max(scale, 1.0)).clamp_(min=0.0)
    return weights / weights.sum(dim=1, keepdim=True)
