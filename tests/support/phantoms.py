"""Small synthetic images with known masks."""

from __future__ import annotations

from pathlib import Path

import itk
import nibabel as nib
import numpy as np
from PIL import Image

# One affine of each sort that scanners and converters produce; all RAS, mm.
AFFINES: dict[str, np.ndarray] = {
    "identity": np.eye(4),
    "shifted": np.array([[1, 0, 0, -90.125], [0, 1, 0, 126.0], [0, 0, 1, -72.5], [0, 0, 0, 1]], dtype=float),
    "lps": np.diag([-1.0, -1.0, 1.0, 1.0]),
    "permuted": np.array([[0, 0, 1.0, 5], [-1.0, 0, 0, 6], [0, 1.0, 0, 7], [0, 0, 0, 1]]),
    "anisotropic": np.array([[0.7, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, 3.0, -30], [0, 0, 0, 1]]),
}


def oblique(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Rotated by 25 and 15 degrees, x flipped."""
    a, b = np.deg2rad([25.0, 15.0])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([-spacing[0], spacing[1], spacing[2]])
    affine[:3, 3] = (-31.7, 12.25, 4.5)
    return affine


def ellipsoids(
    shape: tuple[int, ...], labels: int, rng: np.random.Generator, noise: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy image and mask: label i is an ellipsoid of brightness 1 / i in its own part of the first axis."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"))
    mask = np.zeros(shape, dtype=np.uint8)
    image = rng.normal(0, noise, shape)
    for label in range(1, labels + 1):
        centre = rng.uniform(-0.2, 0.2, len(shape))
        centre[0] = (2 * label - 1) / labels - 1
        radii = rng.uniform(0.45, 0.6, len(shape))
        radii[0] = 0.7 / labels
        inside = sum(((grid[axis] - centre[axis]) / radii[axis]) ** 2 for axis in range(len(shape))) < 1
        mask[inside] = label
        image[inside] += 1 / label
    return image, mask


def write_png(path: Path, array: np.ndarray) -> Path:
    """Array (X, Y) of values 0..255, first axis to the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(array.astype(np.uint8).T)).save(path)
    return path


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def write_itk(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """Any ITK format; the RAS affine becomes ITK's LPS origin, spacing and direction."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = itk.image_from_array(np.ascontiguousarray(array.T))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing)
    image.SetOrigin(lps[:3, 3])
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3] / spacing)))
    itk.imwrite(image, str(path))
    return path


def phantom_pairs(folder: Path, count: int, dims: int, labels: int) -> list[dict[str, str]]:
    """Files of labelled phantoms, 60 x 48 pixels or 24 x 20 x 18 voxels: mappings with ``image`` and ``label``."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(count):
        ending = "png" if dims == 2 else "nii.gz"
        image_file, label_file = folder / f"{index}.{ending}", folder / "labels" / f"{index}.{ending}"
        image, mask = ellipsoids((60, 48) if dims == 2 else (24, 20, 18), labels, rng)
        if dims == 2:
            write_png(image_file, np.clip(60 + 120 * image, 0, 255))
            write_png(label_file, mask)
        else:
            write_nifti(image_file, image.astype(np.float32), oblique((1.0, 1.0, 1.2)))
            write_nifti(label_file, mask, oblique((1.0, 1.0, 1.2)))
        pairs.append({"image": str(image_file), "label": str(label_file)})
    return pairs
