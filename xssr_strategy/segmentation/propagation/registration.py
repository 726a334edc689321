"""Propagation by registration: each slice is deformed onto the next, and the mask with it. Needs no weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import itk
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xssr_strategy.segmentation.propagation.engine import FollowedSlice, PropagationEngine

# Chosen on volumes of the pools of prostate, left atrium, hippocampus and brain (docs/METHOD.md).
ITERATIONS = (40, 30, 20)  # at a quarter of the resolution, at half, at full
SMOOTHING = 1.0  # standard deviation, in pixels, by which the displacements are smoothed after each iteration
MARGIN, MARGIN_PIXELS = 0.5, 8  # of the registered part around the masks: share of their side, and pixels more
LARGEST = 256  # pixels along a side of the part; a larger one is registered at a lower resolution
BORDER = 4  # pixels around a mask that count when slices are compared
LEAST_CORRELATION = 0.5

_GREY = 255.0  # ITK's demons take differences below 0.001 for none

_Box = tuple[slice, slice]


class Registration(PropagationEngine):
    """Diffeomorphic demons (Vercauteren et al. 2009, doi 10.1016/j.neuroimage.2008.10.040), by ITK.

    The drawn slice itself is deformed along with its mask. A label counts as found while it correlates, around the
    mask, with the slice at hand: where an organ ends, the images stop being alike.

    >>> import numpy as np
    >>> rows, columns = np.ogrid[:40, :40]
    >>> discs = np.stack([(rows - 20) ** 2 + (columns - 20) ** 2 < radius**2 for radius in (8, 9, 10)])
    >>> followed = list(Registration().follow(discs.astype(np.float32), discs[:1], (1.0, 1.0)))
    >>> [int(one.maps[0].round().sum()) >= discs[number].sum() - 12 for number, one in enumerate(followed, start=1)]
    [True, True]
    """

    name = "registration"

    def follow(
        self, slices: NDArray[np.float32], masks: NDArray[np.bool_], spacing: Sequence[float]
    ) -> Iterator[FollowedSlice]:
        """As :class:`PropagationEngine`."""
        maps, drawn = masks.astype(np.float32), slices[0].copy()
        for before, here in itertools.pairwise(slices):
            box = _around(maps.max(axis=0) >= 0.5, MARGIN, MARGIN_PIXELS)
            if box is None:
                yield FollowedSlice(np.zeros_like(maps), np.zeros(len(maps), dtype=bool))
                continue
            field = displacements(here[box], before[box], spacing)
            maps, earlier = np.zeros_like(maps), maps
            for number, one in enumerate(earlier):
                maps[number][box] = warped(one[box], field, spacing)
            drawn[box] = warped(drawn[box], field, spacing)
            yield FollowedSlice(maps, np.array([_alike(drawn, here, one >= 0.5) for one in maps]))


def displacements(fixed: NDArray[np.float32], moving: NDArray[np.float32], spacing: Sequence[float]) -> Any:
    """ITK's displacement field in mm, from each pixel of ``fixed`` to the point of ``moving`` that belongs there.

    Args:
        fixed, moving: (rows, columns) in [0, 1].
        spacing: distance of rows and of columns, in mm.
    """
    factors = [-(-side // LARGEST) for side in fixed.shape]
    image, vectors = _kinds()
    demons = itk.DiffeomorphicDemonsRegistrationFilter[image, image, vectors].New()
    demons.SetStandardDeviations(SMOOTHING)
    levels = itk.MultiResolutionPDEDeformableRegistration[image, image, vectors, itk.F].New()
    levels.SetRegistrationFilter(demons)
    levels.SetFixedImage(_image(_GREY * fixed, spacing, factors))
    levels.SetMovingImage(_image(_GREY * moving, spacing, factors))
    levels.SetNumberOfLevels(len(ITERATIONS))
    levels.SetNumberOfIterations(list(ITERATIONS))
    levels.Update()
    return levels.GetOutput()


def warped(values: NDArray[np.float32], field: Any, spacing: Sequence[float]) -> NDArray[np.float32]:
    """(rows, columns) where a field of :func:`displacements` brings them; 0 from outside."""
    image = _image(values, spacing)
    kind, vectors = _kinds()
    warp = itk.WarpImageFilter[kind, kind, vectors].New()
    warp.SetInput(image)
    warp.SetDisplacementField(field)
    warp.SetOutputParametersFromImage(image)
    warp.SetEdgePaddingValue(0.0)
    warp.Update()
    found: NDArray[np.float32] = itk.array_from_image(warp.GetOutput())
    return found


def _kinds() -> tuple[Any, Any]:
    """ITK's images of numbers and of vectors, whose libraries take a second to load."""
    return itk.Image[itk.F, 2], itk.Image[itk.Vector[itk.F, 2], 2]


def _image(values: NDArray[np.float32], spacing: Sequence[float], factors: Sequence[int] = (1, 1)) -> Any:
    """An image of ITK; so many pixels along rows and columns are averaged into one, which lies amid them."""
    rows, columns = (side // factor for side, factor in zip(values.shape, factors, strict=True))
    whole = values[: rows * factors[0], : columns * factors[1]]
    means = whole.reshape(rows, factors[0], columns, factors[1]).mean(axis=(1, 3))
    image = itk.image_from_array(np.ascontiguousarray(means, dtype=np.float32))
    steps = [(factor, float(step)) for factor, step in zip(factors, spacing, strict=True)][::-1]  # columns come first
    image.SetSpacing([factor * step for factor, step in steps])
    image.SetOrigin([(factor - 1) / 2 * step for factor, step in steps])
    return image


def _around(mask: NDArray[np.bool_], share: float, pixels: int) -> _Box | None:
    """The part of a slice around a mask, so many pixels and such a share of its sides wider; None if it is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return None
    sides = []
    for part, side in zip(found[0], mask.shape, strict=True):
        more = pixels + round(share * (part.stop - part.start))
        sides.append(slice(max(0, part.start - more), min(side, part.stop + more)))
    return sides[0], sides[1]


def _alike(one: NDArray[np.float32], other: NDArray[np.float32], mask: NDArray[np.bool_]) -> bool:
    """Whether two slices correlate in the rectangle around a mask; not if that is empty."""
    box = _around(mask, 0.0, BORDER)
    if box is None:
        return False
    values = np.stack([one[box].ravel(), other[box].ravel()]).astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1)
    if not lengths.all():
        return False
    return bool(values[0] @ values[1] / lengths.prod() >= LEAST_CORRELATION)
