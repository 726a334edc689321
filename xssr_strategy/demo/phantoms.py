"""Abdomen-like 3-D phantoms from two simulated MR scanners, with the liver as the known label.

Everything here is our own invention for demonstrations and tests; no number is measured on patients. The
anatomy is painted, then imaged: blur, bias field, Rician noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from xssr_strategy.demo.anatomy import Array, Point, Space, paint_anatomy
from xssr_strategy.errors import UserError

Kind = Literal["common", "minority"]

SOURCE_COUNT, TARGET_COUNT, TEST_COUNT = 40, 60, 20
"""Sizes of the demo: unlabelled images of scanner A, the pool of scanner B, unseen images of scanner B."""

TARGET_MINORITY, TEST_MINORITY = 0.15, 0.4
"""Share of minority cases. With 9 in a pool of 60, six random picks miss them all with a probability of
C(51, 6) / C(60, 6) = 0.36. The test set holds more of them than the pool, on purpose: the demo asks
how well a model serves the minority, and a test set with the pool's share would hide most of the answer."""


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
    space = Space(scanner.spacing)
    tissue, organ = paint_anatomy(space, np.random.default_rng([seed, 0]), scanner.contrast, kind == "minority")
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


def _acquire(tissue: Array, space: Space, rng: np.random.Generator, scanner: Scanner) -> NDArray[np.int16]:
    """Blur, bias field and Rician noise (magnitude of a complex signal with normal noise in both parts)."""
    signal = gaussian_filter(tissue, [scanner.blur / step for step in scanner.spacing])
    signal = signal * np.exp(scanner.bias * space.field(rng, 250.0))
    real, imaginary = rng.normal(scale=scanner.noise, size=(2, *signal.shape))
    return np.rint(np.hypot(signal + real, imaginary)).astype(np.int16)


def _write(voxels: NDArray[np.int16] | NDArray[np.uint8], affine: Array, path: Path) -> None:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
