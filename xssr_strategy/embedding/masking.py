"""Random patch masks for masked autoencoders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def random_patch_mask(batch: int, grid: Sequence[int], ratio: float, device: torch.device) -> Tensor:
    """(B, 1, *grid) bool, True where the patch is hidden; exactly round(ratio * patches) per image.

    >>> hidden = random_patch_mask(2, grid=(4, 4), ratio=0.75, device=torch.device("cpu"))
    >>> hidden.sum(dim=(1, 2, 3)).tolist()  # of 16 patches, in both images
    [12, 12]
    """
    patches = math.prod(grid)
    hidden = round(ratio * patches)
    # The CPU generator, so that a seed means the same masks on every device.
    rank = torch.rand(batch, patches).argsort(dim=1).argsort(dim=1)
    return (rank < hidden).view(batch, 1, *grid).to(device)


def to_pixels(mask: Tensor, patch: int) -> Tensor:
    """(B, 1, *grid) patch mask -> (B, 1, *(patch * grid)) pixel mask.

    >>> to_pixels(torch.tensor([[[[True, False]]]]), patch=2).int().tolist()
    [[[[1, 1, 0, 0], [1, 1, 0, 0]]]]
    """
    for axis in range(2, mask.ndim):
        mask = mask.repeat_interleave(patch, dim=axis)
    return mask


def masked_mse(prediction: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error over the hidden pixels; ``hidden`` (B, 1, *size) bool broadcasts over channels.

    >>> prediction, target = torch.tensor([[[3.0, 9.0]]]), torch.tensor([[[1.0, 1.0]]])
    >>> float(masked_mse(prediction, target, hidden=torch.tensor([[[True, False]]])))  # the second pixel was visible
    4.0
    """
    error = (prediction - target).square() * hidden
    return error.sum() / (hidden.sum() * target.shape[1]).clamp(min=1)
