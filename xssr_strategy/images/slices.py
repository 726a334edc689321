"""What a 2-D network sees of an image or a volume: upright squares."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from xssr_strategy.images.preprocessing import conform, fit, memory_told, scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image


def slices_input(path: str | Path, preset: Preset, size: int, count: int) -> Tensor:
    """A 2-D image, or transverse slices of a volume, scaled to [0, 1] and fitted into a square.

    Rows run downwards and columns to the right, as in a picture. A slice lies as radiologists see it: anterior on top,
    the patient's right on the left. Intensities are scaled over the whole volume, and only the slices are resampled.

    Args:
        path: of a file or DICOM series folder.
        preset: kind of image.
        size: side of the squares, in pixels.
        count: slices of a volume.

    Returns:
        Plain float32 tensor (S, preset.channels, size, size), S being ``count`` for a volume and 1 for a 2-D image.

    Raises:
        UnreadableImage: as ``read_image`` and ``conform``.
    """
    image = conform(read_image(path), preset, path)
    with memory_told(path):
        whole = image.as_tensor()
        if preset.spatial_dims == 2:
            planes = scale_intensity(whole, preset).unsqueeze(0)
        else:
            chosen = whole[..., slice_positions(whole.shape[-1], count)]
            planes = scale_intensity(chosen, preset, whole).movedim(-1, 0)
        squares = fit(planes.flatten(end_dim=1), size, spacing_of(image)[:2]).unflatten(0, planes.shape[:2])
    pictures = squares.clamp_(0.0, 1.0).transpose(-1, -2)  # sums of weights are 1 but for rounding
    return (pictures if preset.spatial_dims == 2 else pictures.flip(-1, -2)).contiguous()


def slice_positions(depth: int, count: int) -> Tensor:
    """(count,) indices, spread evenly over the middle 80 % of ``depth`` slices; those of a thin volume repeat.

    The ends of a volume often show little; how much is left out is our choice. Slice i is the one at the share
    0.1 + 0.8 (i + 1/2) / count of the height, in whole numbers.
    """
    return depth * (count + 4 * (2 * torch.arange(count) + 1)) // (10 * count)
