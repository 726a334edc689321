"""From the grid of a file to the grid of the network and back.

Both ways are a change of axis order and one interpolation between the same two shapes, voxel centres at half
coordinates (nnU-Net resamples so, Isensee et al. 2021, doi 10.1038/s41592-020-01008-z). The affine takes no part in
it, hence oblique, flipped and sheared volumes come back exactly onto their own voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xssr_strategy.images.preprocessing import scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.segmentation.plan import SegmentationPlan


def network_image(image: MetaTensor, preset: Preset, plan: SegmentationPlan) -> Tensor:
    """What the network sees of an image: grey values in [0, 1] on the plan's grid.

    Args:
        image: after ``conform``.

    Returns:
        float32 (C, *grid).
    """
    grid = plan.grid_of(image.shape[1:], spacing_of(image))
    return _interpolate(scale_intensity(image.as_tensor(), preset), grid)


def network_label(label: Tensor, grid: Sequence[int]) -> Tensor:
    """A uint8 label (1, *spatial) on the grid of its network image, by nearest neighbour."""
    if label.shape[1:] == tuple(grid):
        return label
    return F.interpolate(label.unsqueeze(0), size=tuple(grid), mode="nearest-exact").squeeze(0)


def original_label(logits: Tensor, file_affine: np.ndarray, shape: Sequence[int]) -> Tensor:
    """The label on the voxels of the image file.

    The probabilities, not the label, are interpolated. One class is held at full size at a time, which gives the
    argmax of all in a fraction of the memory.

    Args:
        logits: (classes, *grid), float.
        file_affine: of the image before ``conform``; 4 x 4.
        shape: of the image before ``conform``, two or three sides.

    Returns:
        uint8 (*shape); more than 255 labels give int16.
    """
    probabilities = torch.softmax(logits.float(), dim=0)
    conformed_shape = tuple(shape)
    if len(conformed_shape) == 3:
        order = np.argsort(nib.io_orientation(file_affine)[:, 0])
        conformed_shape = tuple(shape[int(axis)] for axis in order)
    best = torch.full(conformed_shape, -1.0)
    label = torch.zeros(conformed_shape, dtype=torch.uint8 if len(probabilities) <= 256 else torch.int16)
    for index, probability in enumerate(probabilities):
        candidate = _interpolate(probability.unsqueeze(0), conformed_shape).squeeze(0).cpu()
        label.masked_fill_(candidate > best, index)
        torch.maximum(best, candidate, out=best)
    return label if label.ndim == 2 else torch.from_numpy(to_file_axes(label.numpy(), file_affine))


def to_file_axes(label: NDArray[Any], file_affine: np.ndarray) -> NDArray[Any]:
    """A label (R, A, S) in the order and directions of the axes of the image's file.

    Args:
        label: on the grid of the image after ``conform``.
        file_affine: of the image before ``conform``; 4 x 4.

    >>> to_file_axes(np.array([[[1, 2]], [[3, 4]]]), np.diag([-1.0, 1.0, 1.0, 1.0])).tolist()  # stored right to left
    [[[3, 4]], [[1, 2]]]
    """
    ras_axes = nib.orientations.axcodes2ornt("RAS")
    from_ras = nib.orientations.ornt_transform(ras_axes, nib.io_orientation(file_affine))
    return np.ascontiguousarray(nib.apply_orientation(label, from_ras))


def _interpolate(image: Tensor, size: Sequence[int]) -> Tensor:
    """Linear interpolation of (C, *spatial); in 2-D, where reductions are large, against aliasing."""
    if image.shape[1:] == tuple(size):
        return image
    batch = image.unsqueeze(0)
    if len(size) == 2:
        resized = F.interpolate(batch, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
    else:
        resized = F.interpolate(batch, size=tuple(size), mode="trilinear", align_corners=False)
    return resized.squeeze(0)
