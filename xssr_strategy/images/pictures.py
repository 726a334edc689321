"""An image as people expect to see it.

An image file is shown upright; of a volume, a transverse slice in radiological convention: anterior on top, the
patient's right on the left.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xssr_strategy.images.preprocessing import fit

SMALL = 64
"""Longest side of a small picture, in pixels; our choice."""

_QUALITY = 80  # of WebP: an X-ray of 64 pixels is some 650 bytes (our choice)


def middle_slice(pixels: Tensor) -> Tensor:
    """(C, R, A) of a volume (C, R, A, S); (C, X, Y) stays as it is."""
    return pixels[..., pixels.shape[3] // 2] if pixels.ndim == 4 else pixels


def upright(pixels: Tensor, spatial_dims: int) -> NDArray[np.float32]:
    """(C, X, Y) to (rows, columns, C); a slice of a volume, (C, R, A), is turned round so that A is up and R left."""
    rows = pixels.numpy().transpose(2, 1, 0)
    return rows[::-1, ::-1] if spatial_dims == 3 else rows


def flat(pixels: NDArray[Any]) -> NDArray[Any]:
    """(rows, columns, 3), or (rows, columns) of a grey image."""
    return pixels.squeeze(2) if pixels.shape[2] == 1 else pixels


def grey_values(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] to 0 ... 255."""
    return np.rint(255.0 * pixels.clip(0.0, 1.0)).astype(np.uint8)


def plane_of(values: Tensor) -> Tensor:
    """What an encoder sees of an image as rows and columns, of a volume the middle slice.

    Args:
        values: (C, X, Y), or (C, R, A, S) in RAS axes.

    Returns:
        (C, rows, columns), upright.
    """
    plane = middle_slice(values).transpose(-1, -2)
    return plane if values.ndim == 3 else plane.flip(-1, -2)


def small_picture(plane: Tensor) -> bytes:
    """A small square WebP of a plane (1 or 3, size, size), rows and columns, in [0, 1]."""
    pixels = plane.detach().cpu()
    if pixels.shape[1] > SMALL:
        pixels = fit(pixels, SMALL, (1.0, 1.0))
    file = io.BytesIO()
    shown = flat(grey_values(pixels.permute(1, 2, 0).numpy()))
    Image.fromarray(np.ascontiguousarray(shown)).save(file, "WEBP", quality=_QUALITY, method=4)
    return file.getvalue()
