"""The anatomy of the phantoms: an abdomen painted in millimetres with smooth edges (partial volume).

Everything here is our own invention for demonstrations and tests; no number is measured on patients.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]
Point = tuple[float, float, float]

FIELD_OF_VIEW = (288.0, 192.0, 256.0)
"""Sides in mm along right, anterior and superior."""

_EDGE = 1.5  # mm: width of the transition between two tissues before the scanner's own blur


class Space:
    """Coordinates in mm (3, X, Y, Z) around the middle of the field of view, and smooth random fields on them."""

    def __init__(self, spacing: Point) -> None:
        sides = [round(side / step) for side, step in zip(FIELD_OF_VIEW, spacing, strict=True)]
        self.axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(sides, spacing, strict=True)]
        self.grid = np.stack(np.meshgrid(*self.axes, indexing="ij"))

    def field(self, rng: np.random.Generator, wavelength: float) -> Array:
        """(X, Y, Z) random cosine series with zero mean, unit variance and no wave shorter than ``wavelength`` mm.

        The series is a function of the place in mm, hence the same anatomy on every voxel grid.
        """
        waves = []
        for axis, side in zip(self.axes, FIELD_OF_VIEW, strict=True):
            number = np.arange(1 + int(2 * side / wavelength))[:, None]
            phase = rng.uniform(0, 2 * np.pi, number.shape)
            waves.append(np.sqrt(2) * np.cos(np.pi * number * axis / side + phase))
        weights = rng.normal(size=[len(wave) for wave in waves])
        series: Array = np.einsum("abc,ax,by,cz->xyz", weights, *waves, optimize=True)
        return series / np.sqrt(weights.size)


def paint_anatomy(
    space: Space, rng: np.random.Generator, contrast: Mapping[str, float], minority: bool
) -> tuple[Array, NDArray[np.bool_]]:
    """Grey values of the anatomy without any scanner effect, and the voxels of the organ.

    Structures are signed distances in mm (approximate, negative inside), painted from the skin to the liver.
    """
    canvas = _Canvas(space, rng, contrast, minority)
    peritoneum, spine = _paint_surroundings(canvas)
    organ = _paint_liver(canvas, peritoneum, spine)
    return canvas.image, organ < 0.0


class _Canvas:
    """The anatomy of one patient: a bent and stretched space, and what has been painted into it.

    Attributes:
        image: (X, Y, Z) grey values without any scanner effect.
        place: (3, X, Y, Z) coordinates in mm in the patient.
        texture: (X, Y, Z) variation of a tissue.
    """

    def __init__(self, space: Space, rng: np.random.Generator, contrast: Mapping[str, float], minority: bool) -> None:
        self.space, self.rng, self._contrast, self.minority = space, rng, contrast, minority
        self.image = np.zeros(space.grid.shape[1:])
        # Everybody is bent and stretched a little, all organs together.
        stretch = np.array([self.vary(0.84, 1.08) for _ in range(3)])
        place = space.grid / stretch[:, None, None, None]
        self.place = place + 4.0 * np.stack([space.field(rng, 160.0) for _ in range(3)])
        self.texture = space.field(rng, 36.0)

    def paint(self, distance: Array, tissue: str, variation: Array | float = 0.0) -> None:
        """Paint a tissue where the signed ``distance`` in mm is negative, over what is there."""
        inside = expit(-distance / _EDGE)
        self.image += inside * (self._contrast[tissue] * (1.0 + variation) - self.image)

    def vary(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        # Minority patients are fasting and thinned by their disease: they are more alike than the others. Without
        # that, a type this rare would be a few outliers, and no selector should pick those.
        middle, half = (low + high) / 2, (high - low) / 2
        return middle + (0.2 if self.minority else 1.0) * half * self.rng.uniform(-1.0, 1.0)

    def ellipsoid(self, centre: Point, radii: Point, spread: float = 4.0, tilt: float = 0.15) -> Array:
        return _ellipsoid(self.place, self.rng, centre, radii, spread, tilt)


def _paint_surroundings(canvas: _Canvas) -> tuple[Array, Array]:
    """Paint all but the liver; return the signed distances to the peritoneum and to the spine."""
    paint, vary, place, texture, rng = canvas.paint, canvas.vary, canvas.place, canvas.texture, canvas.rng
    body = _ellipsoid(place, rng, (0, 0, 0), (128, 83, 260), 0.0, 0.0)
    fat = vary(4.0, 20.0)
    bowel_content, stomach_content = vary(-0.4, 0.4), vary(-0.5, 1.0)
    peritoneum = body + 3.0 + fat + 8.0
    paint(body, "skin")
    paint(body + 3.0, "fat", 0.05 * texture)
    paint(body + 3.0 + fat, "muscle", 0.05 * texture)
    paint(peritoneum, "fat")
    paint(np.maximum(peritoneum, 14.0 * (canvas.space.field(rng, 60.0) - 0.3)), "bowel", bowel_content + 0.10 * texture)

    level = place[2] + rng.uniform(-15, 15)
    column = np.hypot(place[0], place[1] + 52.0)
    spine = column - 19.0
    paint(spine, "bone", 0.08 * texture)
    paint(np.maximum(spine, 9.0 * (0.75 - np.cos(2 * np.pi * level / 36.0))), "disc")
    paint(np.hypot(place[0], place[1] + 68.0) - 7.0, "canal")
    paint(np.hypot(place[0] + 12.0, place[1] + 24.0) - 9.0, "vessel")
    for side in (-1.0, 1.0):
        paint(canvas.ellipsoid((side * 52.0, -36.0, -38.0), (22, 21, 48)), "kidney", 0.08 * texture)
    swelling = 1.3 if canvas.minority else 1.0
    spleen = canvas.ellipsoid((-72, -22, 48), (26 * swelling, 30 * swelling, 42 * swelling))
    paint(np.maximum(spleen, peritoneum), "spleen", 0.04 * texture)
    stomach = canvas.ellipsoid((-46, 28, 38), (32, 24, 36), spread=7.0, tilt=0.5)
    paint(np.maximum(stomach, peritoneum), "stomach", stomach_content + 0.10 * texture)

    return peritoneum, spine


def _paint_liver(canvas: _Canvas, peritoneum: Array, spine: Array) -> Array:
    """Paint the liver and, of a minority case, effusion and lesion; return the signed distance to the organ."""
    paint, texture, rng, space, minority = canvas.paint, canvas.texture, canvas.rng, canvas.space, canvas.minority
    size = rng.uniform(0.88, 1.10) * (1.12 if minority else 1.0)
    liver = canvas.ellipsoid((46, 10, 34), (58 * size, 54 * size, 62 * size), spread=7.0, tilt=0.35)
    liver = liver + 6.0 * space.field(rng, 90.0)
    organ = np.maximum(np.maximum(liver, peritoneum + 2.0), 4.0 - spine)
    if minority:
        paint(np.maximum(np.maximum(liver - 13.0, peritoneum), 2.0 - spine), "effusion", 0.03 * texture)
    paint(organ, "liver", 0.06 * texture)
    if minority:
        lesion = np.maximum(organ + rng.uniform(7.0, 11.0), liver + 10.0 + 3.0 * space.field(rng, 60.0))
        paint(lesion, "lesion", 0.25 * texture)
    return organ


def _ellipsoid(
    place: Array, rng: np.random.Generator, centre: Point, radii: Point, spread: float, tilt: float
) -> Array:
    """Approximate signed distance in mm to an ellipsoid.

    Its centre and radii vary with a standard deviation of ``spread`` mm (radii: half), its orientation by up to
    ``tilt`` radians about each axis.
    """
    middle = np.asarray(centre) + spread * rng.normal(size=3)
    semiaxes = np.maximum(np.asarray(radii) + 0.5 * spread * rng.normal(size=3), 0.5 * np.asarray(radii))
    offset = np.einsum("ij,jxyz->ixyz", _rotation(rng.uniform(-tilt, tilt, 3)), place - middle[:, None, None, None])
    radius = np.linalg.norm(offset / semiaxes[:, None, None, None], axis=0)
    return (radius - 1.0) * float(np.min(semiaxes))


def _rotation(angles: Array) -> Array:
    """(3, 3) rotation about the three axes in turn, angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ step
    return matrix
