"""Random places in space for volumes, as scanners, converters and hand-made headers have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import SimpleITK as sitk

from tests.support.dicom_series import WrittenSeries, write_series
from tests.support.phantoms import ellipsoids

SHAPE = (11, 9, 7)
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TILT = np.radians(20)
TILTED_SHAPE = (32, 28, 16)
TILTED = np.array([[-0.75, 0, 0, 20], [0, -0.75 * np.cos(TILT), 0, 30], [0, 0.75 * np.sin(TILT), 5, -12], [0, 0, 0, 1]])
"""(4, 4) RAS affine of a CT with a tilted gantry: the table moves along z, the planes are turned about x."""

_MM = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # in a unit of NIfTI


def random_affine(rng: np.random.Generator, shear: bool = False, size: float = 1.0) -> np.ndarray:
    """(4, 4): any rotation, or axes in any order and direction; voxels of 0.3 to 5 times ``size``."""
    if rng.random() < 0.5:
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    else:
        axes = np.eye(3)[rng.permutation(3)]
    axes = axes * rng.choice([-1.0, 1.0], 3)
    if shear:
        axes = axes @ np.array([[1, 0, 0], [0, 1, rng.uniform(0.1, 0.4)], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = axes * rng.uniform(0.3, 5.0, 3) * size
    affine[:3, 3] = rng.uniform(-200.0, 200.0, 3) * size
    return affine


def random_nifti(path: Path, voxels: np.ndarray, rng: np.random.Generator, shear: bool = False) -> Path:
    """A NIfTI file with any codes of both forms, which may agree or not, in any unit, with any sizes in pixdim."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = int(rng.choice([0, 1, 2, 2, 3]))
    size = 1.0 / _MM[unit]
    form = random_affine(rng, size=size)
    other = form if rng.random() < 0.4 else random_affine(rng, size=size)
    if shear:
        other = random_affine(rng, shear=True, size=size)
    image = nib.Nifti1Image(voxels, None)
    header = image.header
    header.set_qform(form, 1)  # which sets pixdim, too
    header.set_sform(other, 1)
    header["qform_code"], header["sform_code"] = rng.integers(0, 5, 2)
    if shear:
        header["sform_code"] = max(1, header["sform_code"])
    if rng.random() < 0.2 and not shear:
        header["pixdim"][1:4] *= rng.choice([0.5, 1.01], 3).astype(np.float32)
    header["xyzt_units"] = unit + int(rng.choice([0, 8, 16]))
    nib.save(image, path)
    return path


def itk_affine(path: Path | Sequence[str]) -> np.ndarray:
    """(4, 4) RAS affine of a file, or of the files of a series, as ITK reads it.

    Raises:
        RuntimeError: ITK does not.
    """
    image = itk.imread(str(path) if isinstance(path, Path) else list(path))
    return lps_to_ras(itk.array_from_matrix(image.GetDirection()), image.GetSpacing(), image.GetOrigin())


def sitk_affine(path: Path) -> np.ndarray:
    """The same by SimpleITK."""
    image = sitk.ReadImage(str(path))
    return lps_to_ras(np.reshape(image.GetDirection(), (3, 3)), image.GetSpacing(), image.GetOrigin())


def lps_to_ras(direction: np.ndarray, spacing: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """ITK's three parts as (4, 4) affine, in the axes of NIfTI."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * np.array(list(spacing)), list(origin)
    return TO_RAS @ affine


def corner_distance(one: np.ndarray, other: np.ndarray, shape: Sequence[int] = SHAPE) -> float:
    """Largest distance between corresponding corners of a volume under two affines, in mm."""
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*(side - 1 for side in shape), 1]
    return float(np.linalg.norm(corners @ (np.asarray(one) - other).T, axis=1).max())


def sitk_image(voxels: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """Voxels (X, Y, Z) under a (4, 4) RAS affine."""
    image, lps = sitk.GetImageFromArray(voxels.T), TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).flatten().tolist())
    return image


def write_tilted(folder: Path) -> WrittenSeries:
    """A phantom with two labels as a CT series under :data:`TILTED`."""
    voxels, mask = ellipsoids(TILTED_SHAPE, 2, np.random.default_rng(0))
    image, label = (sitk_image(array, TILTED) for array in (1000 * voxels, mask))
    return write_series(folder, "tilted", image, label, "CT", "NEW")
