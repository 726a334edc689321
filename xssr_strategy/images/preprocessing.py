"""An image as a preset wants it: channels, axes, intensities and, for an encoder, its size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch import Tensor

from xssr_strategy.errors import memory_error
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.images.reading import UnreadableImage, read_image

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, section 2.5.1
_PERCENTILE_VOXELS = 1_000_000  # our choice: above this many values, percentiles are taken on every n-th value

TO_RAS = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))
"""What ``conform`` does to a volume's axes; ``TO_RAS.inverse(image)`` undoes it."""


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


def scale_intensity(image: Tensor, preset: Preset, whole: Tensor | None = None) -> Tensor:
    """Map the preset's window, or the image's own percentiles, linearly to [0, 1] and clip.

    All channels share one range. Above a million values the percentiles are taken on every n-th value only, which
    moves them by less than the noise of an image. Percentiles that coincide give way to minimum and maximum.

    Args:
        image: any shape; a MetaTensor stays one.
        whole: what the percentiles are taken of where ``image`` is a part of it.

    Returns:
        float32 of the same shape; zeros if the image is constant.
    """
    low, high = _intensity_range(image if whole is None else whole, preset)
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
    with memory_told(path):
        fitted = fit(scale_intensity(_plain(image), preset), preset.encoder_size, spacing_of(image))
    return fitted.clamp_(0.0, 1.0)  # sums of weights are 1 but for rounding


@contextmanager
def memory_told(path: str | Path) -> Iterator[None]:
    """What does not fit into memory here makes the image unreadable, and stops nobody."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if memory_error(error) is None:
            raise
        raise UnreadableImage(f"{path}: does not fit into memory; crop or downsample the image") from error


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
