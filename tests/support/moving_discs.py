"""Slices of phantoms in which ellipses move, grow and end, for tests and benchmarks of propagation and refinement."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


class Sequence(NamedTuple):
    """Slices of a phantom.

    Attributes:
        slices: float32 (slices, rows, columns) in [0, 1].
        masks: bool, likewise: the ellipse that is meant.
    """

    slices: NDArray[np.float32]
    masks: NDArray[np.bool_]


def moving_ellipse(rng: np.random.Generator, count: int, side: int = 128, ends: bool = False) -> Sequence:
    """An ellipse that moves by 2 to 4 pixels from slice to slice among up to three others of other grey values.

    Args:
        rng: of all that is drawn.
        count: slices.
        side: of a slice, in pixels.
        ends: whether the ellipse shrinks, and is gone from a slice in the second half on.
    """
    rows, columns = np.mgrid[:side, :side].astype(float)
    background = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), side / 16)
    slices = np.repeat((0.4 + 0.06 * background / background.std())[None], count, axis=0)
    last = int(rng.integers(count // 2, count)) if ends else count + count // 2
    masks = np.zeros(slices.shape, dtype=bool)
    grey = 0.4 + rng.choice([-1, 1]) * rng.uniform(0.2, 0.35)
    for number in range(int(rng.integers(1, 4)), -1, -1):  # the meant one last, in front of the others
        centre = rng.uniform(0.3, 0.7, 2) * side
        way, turn = rng.uniform(0, 2 * np.pi, 2)
        step = rng.uniform(2, 4) * np.array([np.cos(way), np.sin(way)])
        radii = rng.uniform(0.07, 0.14, 2) * side
        shade = grey if number == 0 else 0.8 - grey + rng.uniform(-0.1, 0.1)
        for place in range(count):
            y, x = rows - centre[0] - place * step[0], columns - centre[1] - place * step[1]
            along, across = np.cos(turn) * y + np.sin(turn) * x, np.cos(turn) * x - np.sin(turn) * y
            size = np.sqrt(max(0.0, 1 - (place / last) ** 2)) if number == 0 else 1.0
            inside = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 < size**2
            slices[place][inside] = shade
            if number == 0:
                masks[place] = inside
    blurred = ndimage.gaussian_filter(slices, (0, 0.8, 0.8)) + rng.normal(0, 0.03, slices.shape)
    return Sequence(np.clip(blurred, 0, 1).astype(np.float32), masks)
