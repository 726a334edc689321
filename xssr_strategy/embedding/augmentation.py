"""Random changes of images on their way into the training of an encoder, drawn from torch's global generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor) -> Tensor:
    """Random mirror along the first spatial axis and a small affine change, per image, on (B, C, *size).

    Rotation +-10 degrees, scale +-10 %, shift +-5 % of the side: our choice.
    """
    batch, dims = len(images), images.ndim - 2
    angle = (torch.rand(batch) * 2 - 1) * math.radians(10)
    scale = 1 + (torch.rand(batch) * 2 - 1) * 0.1
    theta = torch.zeros(batch, dims, dims + 1)
    theta[:, range(dims), range(dims)] = scale[:, None].expand(batch, dims).clone()
    # grid_sample counts coordinates from the last axis: these two are the first two spatial axes,
    # the plane of an X-ray and the transverse plane of a volume in RAS.
    x, y = dims - 1, dims - 2
    theta[:, x, x], theta[:, x, y] = scale * angle.cos(), -scale * angle.sin()
    theta[:, y, x], theta[:, y, y] = scale * angle.sin(), scale * angle.cos()
    theta[:, :, dims] = (torch.rand(batch, dims) * 2 - 1) * 0.1  # in half sides
    theta[:, x] *= torch.where(torch.rand(batch) < 0.5, -1.0, 1.0)[:, None]
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def crops(pictures: Tensor) -> Tensor:
    """A random part of each picture of (B, C, rows, columns), in another contrast and brightness; values in [0, 1].

    60 to 100 % of the side, rotated by up to 10 degrees, half of them mirrored left to right; exponent 0.7 to 1.4,
    brightness 0.8 to 1.2: our choice. Two views of an image then share neither place nor grey values.
    """
    batch = len(pictures)
    angle = (torch.rand(batch) * 2 - 1) * math.radians(10)
    scale = 0.6 + 0.4 * torch.rand(batch)
    mirror = torch.where(torch.rand(batch) < 0.5, -1.0, 1.0)
    theta = torch.zeros(batch, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * scale * angle.cos(), -mirror * scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale * angle.sin(), scale * angle.cos()
    theta[:, :, 2] = (torch.rand(batch, 2) * 2 - 1) * (1 - scale)[
        :, None
    ]  # the part stays inside, but for the corners of a rotated one
    grid = F.affine_grid(theta.to(pictures.device), list(pictures.shape), align_corners=False)
    parts = F.grid_sample(pictures, grid, align_corners=False)
    exponent, brightness = 0.7 + 0.7 * torch.rand(batch), 0.8 + 0.4 * torch.rand(batch)
    shape = (batch, 1, 1, 1)
    changed = parts.clamp(0, 1) ** exponent.view(shape).to(parts) * brightness.view(shape).to(parts)
    return changed.clamp(0, 1)
