"""Refinement of the mask of an image, on the voxels of the image's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from xssr_strategy.images.preprocessing import conform, scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.segmentation.geometry import to_file_axes
from xssr_strategy.segmentation.refinement.refine import Refinement, refine
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter


def refine_mask(
    image: MetaTensor,
    path: Path,
    mask: NDArray[np.uint8],
    segmenter: BoxSegmenter,
    preset: Preset,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Refinement:
    """Refine a mask of an image; of a volume on the axes R, A and S, so that the file's axes decide nothing.

    Args:
        image: (C, *spatial) as it is stored.
        path: of its file.
        mask: uint8 (*spatial).
        segmenter: of what is in a box.
        preset: kind of image.
        progress: called with (slices done, slices that hold a label).

    Raises:
        UserError: the image cannot be used.
    """
    conformed = conform(image, preset, path)
    grey = scale_intensity(conformed.as_tensor(), preset).numpy()
    if preset.spatial_dims == 2:
        return refine(grey, mask, segmenter, progress=progress)
    affine = image.affine.numpy()
    found = refine(grey, _to_ras(mask, affine), segmenter, spacing_of(conformed), progress)
    return replace(found, mask=to_file_axes(found.mask, affine))


def _to_ras(mask: NDArray[np.uint8], file_affine: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What ``to_file_axes`` undoes."""
    turned: NDArray[np.uint8] = nib.orientations.apply_orientation(mask, nib.io_orientation(file_affine))
    return turned
