"""Abdomen-like 3-D phantoms from two simulated MR scanners, with the liver as the known label.

Everything here is our own invention for demonstrations and tests; no number is measured on patients. Anatomy is
painted in millimetres with smooth edges (partial volume), then imaged: blur, bias field, Rician noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from xssr_strategy.errors import UserError

Kind = Literal["common", "minority"]
Array = NDArray[np.float64]
Point = tuple[float, float, float]

FIELD_OF_VIEW = (288.0, 192.0, 256.0)
"""Sides in mm along right, anterior and superior."""

SOURCE_COUNT, TARGET_COUNT, TEST_COUNT = 40, 60, 20
"""Sizes of the demo: unlabelled images of scanner A, the pool of scanner B, unseen images of scanner B."""

TARGET_MINORITY, TEST_MINORITY = 0.15, 0.4
"""Share of minority cases. With 9 in a pool of 60, six random picks miss them all with a probability of
C(51, 6) / C(60, 6) = 0.36. The test set holds more of them than the pool, on purpose: the demo asks
how well a model serves the minority, and a test set with the pool's share would hide most of the answer."""

_EDGE = 1.5  # mm: width of the transition between two tissues before the scanner's own blur


@dataclass(frozen=True)
class Scanner:
    """How a scanner turns anatomy into grey values.

    Attributes:
        name: for people.
        contrast: mean grey value of every tissue, 0 to about 1000.
        noise: sigma of the Rician noise, in grey values.
        bias: strength of the bias field, the standard deviation of its logarithm.
        spacing: voxel size in mm (right, anterior, superior).
        blur: sigma of the point spread function in mm.
    """

    name: str
    contrast: Mapping[str, float]
    noise: float
    bias: float
    spacing: Point
    blur: float


SCANNER_A = Scanner(
    name="A",
    contrast={
        "skin": 420, "fat": 720, "muscle": 400, "bowel": 480, "bone": 640, "disc": 330, "canal": 180, "vessel": 250,
        "kidney": 520, "spleen": 380, "stomach": 220, "liver": 600, "lesion": 160, "effusion": 700,
    },
    noise=22.0,
    bias=0.10,
    spacing=(6.0, 6.0, 6.0),
    blur=2.5,
)  # fmt: skip
"""The source: T1-like, isotropic, little noise."""

SCANNER_B = Scanner(
    name="B",
    contrast={
        "skin": 360, "fat": 400, "muscle": 330, "bowel": 400, "bone": 240, "disc": 300, "canal": 140, "vessel": 860,
        "kidney": 780, "spleen": 520, "stomach": 180, "liver": 640, "lesion": 110, "effusion": 760,
    },
    noise=35.0,
    bias=0.16,
    spacing=(6.0, 6.0, 8.0),
    blur=3.5,
)  # fmt: skip
"""The target: T1-like with contrast agent and weak fat suppression, thick slices, more noise and bias."""


@dataclass(frozen=True)
class Phantom:
    """One simulated examination.

    Attributes:
        image: (X, Y, Z) int16 grey values, axes right, anterior, superior.
        label: (X, Y, Z) uint8; 1 is the organ, lesion included.
        affine: (4, 4) voxel to mm; the scanner's spacing, the origin in the middle of the volume.
        kind: "common" or "minority".
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: Array
    kind: Kind


class _Space:
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


def make_phantom(seed: int, scanner: Scanner, kind: Kind) -> Phantom:
    """Draw one phantom; the same arguments give the same phantom, whatever was drawn before.

    ``seed`` fixes the anatomy, also across scanners. A common case has a homogeneous liver. A minority case has an
    enlarged one, most of it a large dark lesion which belongs to the label, in a bright (bloody) effusion, and a
    large spleen.

    Raises:
        UserError: unknown kind.
    """
    if kind not in ("common", "minority"):
        raise UserError(f"the kind of a phantom is 'common' or 'minority', not {kind!r}")
    space = _Space(scanner.spacing)
    tissue, organ = _paint(space, np.random.default_rng([seed, 0]), scanner.contrast, kind == "minority")
    image = _acquire(tissue, space, np.random.default_rng([seed, 1]), scanner)
    affine = np.diag([*scanner.spacing, 1.0])
    affine[:3, 3] = [axis[0] for axis in space.axes]
    return Phantom(image, organ.astype(np.uint8), affine, kind)


def write_phantoms(
    images_dir: Path,
    labels_dir: Path | None,
    count: int,
    scanner: Scanner,
    minority_fraction: float,
    seed: int,
) -> dict[str, Kind]:
    """Write ``case_000.nii.gz`` and so on into ``images_dir`` and, unless None, the labels into ``labels_dir``.

    Which cases are of the minority is drawn with ``seed``; file names and headers do not tell.

    Args:
        minority_fraction: from 0 to 1; the number of minority cases is rounded to the nearest.

    Returns:
        Kind of every id (the file name without ``.nii.gz``), in the order of the ids.

    Raises:
        UserError: a fraction outside 0 to 1.
    """
    if not 0.0 <= minority_fraction <= 1.0:
        raise UserError(f"minority_fraction is a number from 0 to 1, not {minority_fraction}")
    rng = np.random.default_rng(seed)
    minority = set(rng.permutation(count)[: round(count * minority_fraction)].tolist())
    seeds = rng.integers(2**32, size=count).tolist()
    kinds: dict[str, Kind] = {}
    for folder in filter(None, (images_dir, labels_dir)):
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        name = f"case_{index:03}"
        kinds[name] = "minority" if index in minority else "common"
        phantom = make_phantom(seeds[index], scanner, kinds[name])
        _write(phantom.image, phantom.affine, images_dir / f"{name}.nii.gz")
        if labels_dir is not None:
            _write(phantom.label, phantom.affine, labels_dir / f"{name}.nii.gz")
    return kinds


def _paint(
    space: _Space, rng: np.random.Generator, contrast: Mapping[str, float], minority: bool
) -> tuple[Array, NDArray[np.bool_]]:
    """Grey values of the anatomy without any scanner effect, and the voxels of the organ.

    Structures are signed distances in mm (approximate, negative inside), painted from the skin to the liver.
    """
    image = np.zeros(space.grid.shape[1:])

    def paint(distance: Array, tissue: str, variation: Array | float = 0.0) -> None:
        inside = expit(-distance / _EDGE)
        image[:] += inside * (contrast[tissue] * (1.0 + variation) - image)

    def vary(low: float, high: float) -> float:
        # Minority patients are fasting and thinned by their disease: they are more alike than the others. Without
        # that, a type this rare would be a few outliers, and no selector should pick those.
        middle, half = (low + high) / 2, (high - low) / 2
        return middle + (0.2 if minority else 1.0) * half * rng.uniform(-1.0, 1.0)

    # Everybody is bent and stretched a little, all organs together.
    stretch = np.array([vary(0.84, 1.08) for _ in range(3)])
    place = space.grid / stretch[:, None, None, None] + 4.0 * np.stack([space.field(rng, 160.0) for _ in range(3)])
    texture = space.field(rng, 36.0)

    ellipsoid = partial(_ellipsoid, place, rng)
    body = ellipsoid((0, 0, 0), (128, 83, 260), 0.0, 0.0)
    fat = vary(4.0, 20.0)
    bowel_content, stomach_content = vary(-0.4, 0.4), vary(-0.5, 1.0)
    peritoneum = body + 3.0 + fat + 8.0
    paint(body, "skin")
    paint(body + 3.0, "fat", 0.05 * texture)
    paint(body + 3.0 + fat, "muscle", 0.05 * texture)
    paint(peritoneum, "fat")
    paint(np.maximum(peritoneum, 14.0 * (space.field(rng, 60.0) - 0.3)), "bowel", bowel_content + 0.10 * texture)

    level = place[2] + rng.uniform(-15, 15)
    spine = np.hypot(place[0], place[1] + 52.0) - 19.0
    paint(spine, "bone", 0.08 * texture)
    paint(np.maximum(spine, 9.0 * (0.75 - np.cos(2 * np.pi * level / 36.0))), "disc")
    paint(np.hypot(place[0], place[1] + 68.0) - 7.0, "canal")
    paint(np.hypot(place[0] + 12.0, place[1] + 24.0) - 9.0, "vessel")
    for side in (-1.0, 1.0):
        paint(ellipsoid((side * 52.0, -36.0, -38.0), (22, 21, 48)), "kidney", 0.08 * texture)
    swelling = 1.3 if minority else 1.0
    spleen = ellipsoid((-72, -22, 48), (26 * swelling, 30 * swelling, 42 * swelling))
    paint(np.maximum(spleen, peritoneum), "spleen", 0.04 * texture)
    stomach = ellipsoid((-46, 28, 38), (32, 24, 36), spread=7.0, tilt=0.5)
    paint(np.maximum(stomach, peritoneum), "stomach", stomach_content + 0.10 * texture)

    size = rng.uniform(0.88, 1.10) * (1.12 if minority else 1.0)
    liver = ellipsoid((46, 10, 34), (58 * size, 54 * size, 62 * size), spread=7.0, tilt=0.35)
    liver = liver + 6.0 * space.field(rng, 90.0)
    organ = np.maximum(np.maximum(liver, peritoneum + 2.0), 4.0 - spine)
    effusion = np.maximum(np.maximum(liver - 13.0, peritoneum), 2.0 - spine)
    if minority:
        paint(effusion, "effusion", 0.03 * texture)
    paint(organ, "liver", 0.06 * texture)
    if minority:
        paint(_lesion(space, rng, organ, liver), "lesion", 0.25 * texture)
    return image, organ < 0.0


def _lesion(space: _Space, rng: np.random.Generator, organ: Array, liver: Array) -> Array:
    """A large one inside the organ, with an irregular edge."""
    return np.maximum(organ + rng.uniform(7.0, 11.0), liver + 10.0 + 3.0 * space.field(rng, 60.0))


def _ellipsoid(
    place: Array, rng: np.random.Generator, centre: Point, radii: Point, spread: float = 4.0, tilt: float = 0.15
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


def _acquire(tissue: Array, space: _Space, rng: np.random.Generator, scanner: Scanner) -> NDArray[np.int16]:
    """Blur, bias field and Rician noise (magnitude of a complex signal with normal noise in both parts)."""
    signal = gaussian_filter(tissue, [scanner.blur / step for step in scanner.spacing])
    signal = signal * np.exp(scanner.bias * space.field(rng, 250.0))
    real, imaginary = rng.normal(scale=scanner.noise, size=(2, *signal.shape))
    return np.rint(np.hypot(signal + real, imaginary)).astype(np.int16)


def _write(voxels: NDArray[np.int16] | NDArray[np.uint8], affine: Array, path: Path) -> None:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
