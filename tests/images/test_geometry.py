"""Volumes lie where ITK shows them, and the slices of a series where the scanner measured them."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest
from pydicom import dcmread

from tests.support.dicom_series import write_series
from tests.support.geometries import (
    SHAPE,
    TO_RAS,
    corner_distance,
    itk_affine,
    random_affine,
    sitk_affine,
    sitk_image,
)
from tests.support.phantoms import write_itk
from xssr_strategy.images.preprocessing import spacing_of
from xssr_strategy.images.reading import UnreadableImage, read_image

VOXELS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
SPACES = {"left-posterior-superior": (1, 1, 1), "right-anterior-superior": (-1, -1, 1), "LAS": (1, -1, 1)}


def write_nrrd(path: Path, affine: np.ndarray, space: str, detached: bool) -> Path:
    """By pynrrd, in any of the spaces; the voxels in a file of their own, where asked for."""
    lps = TO_RAS @ affine
    axes = np.diag(SPACES[space]) @ lps[:3]
    header = {"space": space, "space directions": axes[:, :3].T, "space origin": axes[:, 3], "encoding": "raw"}
    nrrd.write(str(path), VOXELS, header, detached_header=False)
    if detached:
        head, _, data = path.read_bytes().partition(b"\n\n")
        path.with_suffix(".raw").write_bytes(data)
        path.write_bytes(head + f"\ndata file: {path.with_suffix('.raw').name}\n\n".encode())
    return path


def write_dicom(folder: Path, affine: np.ndarray) -> list[str]:
    """A series; its files in the order of the third axis. Voxel values are the numbers of the slices."""
    slices = np.broadcast_to(np.arange(SHAPE[2], dtype=np.int16), SHAPE)
    image = sitk_image(slices, affine)
    return [str(file) for file in write_series(folder, "a", image, image, "CT", "NEW").files]


def measured(files: list[str], slices: np.ndarray) -> np.ndarray:
    """(slices, 3) where the first pixels of the slices are, RAS, in the order of the values."""
    places = {float(dcmread(file).pixel_array[0, 0]): dcmread(file).ImagePositionPatient for file in files}
    return np.array([[float(value) for value in places[float(number)]] for number in slices]) * [-1, -1, 1]


@pytest.mark.parametrize("shear", [False, True], ids=["square", "sheared"])
@pytest.mark.parametrize("kind", ["nrrd", "mha", "mhd", "spaces", "two files"])
def test_volumes_lie_where_itk_shows_them(tmp_path: Path, kind: str, shear: bool) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        affine = random_affine(rng, shear)
        if kind in ("spaces", "two files"):
            path = write_nrrd(tmp_path / "a.nrrd", affine, str(rng.choice(list(SPACES))), kind == "two files")
        else:
            path = write_itk(tmp_path / f"a.{kind}", VOXELS, affine)
        image = read_image(path)
        np.testing.assert_array_equal(image[0].numpy(), VOXELS)
        assert corner_distance(image.affine.numpy(), affine) < 1e-3
        for shown in (itk_affine(path), sitk_affine(path)):
            assert corner_distance(image.affine.numpy(), shown) < 1e-3


@pytest.mark.parametrize("shear", [False, True], ids=["straight", "tilted"])
def test_each_slice_of_a_series_lies_where_the_scanner_measured_it(tmp_path: Path, shear: bool) -> None:
    for seed in range(30):
        affine = random_affine(np.random.default_rng(seed), shear)
        files = write_dicom(tmp_path / str(seed), affine)
        image = read_image(tmp_path / str(seed))
        at = image.affine.numpy() @ [[0] * SHAPE[2], [0] * SHAPE[2], range(SHAPE[2]), [1] * SHAPE[2]]
        np.testing.assert_allclose(at[:3].T, measured(files, image[0, 0, 0].numpy()), atol=1e-3)
        assert spacing_of(image) == pytest.approx(np.linalg.norm(affine[:3, :3], axis=0), abs=1e-3)
        if not shear:
            forward = files if image[0, 0, 0, 0] == 0 else files[::-1]
            assert corner_distance(image.affine.numpy(), itk_affine(forward)) < 1e-3


def test_a_slight_drift_of_rounding_leaves_a_series_square(tmp_path: Path) -> None:
    affine = np.diag([0.5, 0.5, 3.0, 1.0])
    affine[0, 2] = 0.004 / (SHAPE[2] - 1)  # mm from the first slice to the last, less than a hundredth of a pixel
    write_dicom(tmp_path / "a", affine)
    axes = read_image(tmp_path / "a").affine.numpy()[:3, :3]
    np.testing.assert_array_equal(axes, np.diag(np.diag(axes)))


def test_slices_that_are_shifted_unevenly_are_refused(tmp_path: Path) -> None:
    files = write_dicom(tmp_path / "a", np.diag([0.5, 0.5, 3.0, 1.0]))
    moved = dcmread(files[3])
    moved.ImagePositionPatient[0] += 2.0
    moved.save_as(files[3])
    with pytest.raises(UnreadableImage, match=r"a: has slices that are shifted sideways against each other"):
        read_image(tmp_path / "a")
