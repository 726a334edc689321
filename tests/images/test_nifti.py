"""NIfTI headers that nibabel and ITK read differently: what is read lies where ITK, and with it 3D Slicer, shows it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.support.geometries import SHAPE, corner_distance, itk_affine, random_affine, random_nifti
from xssr_strategy.images.nifti import nifti_like
from xssr_strategy.images.reading import read_grid, read_image

VOXELS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
A = np.array([[1.0, 0, 0, -10], [0, 1.2, 0, -5], [0, 0, 2.0, 7], [0, 0, 0, 1]])
TURNED = np.array([[0.8, -0.6, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ A


def written(path: Path, kind: type = nib.Nifti1Image, voxels: np.ndarray = VOXELS, **header: object) -> Path:
    """Both forms, their codes, and any other field of the header."""
    image = kind(voxels, None)
    image.header.set_qform(header.pop("qform", A), 1)
    image.header.set_sform(header.pop("sform", A), 1)
    for field, value in header.items():
        image.header[field] = value
    nib.save(image, path)
    return path


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("seed", range(30))
def test_any_header_is_read_as_itk_reads_it(tmp_path: Path, seed: int, extension: str) -> None:
    path = random_nifti(tmp_path / f"a{extension}", VOXELS, np.random.default_rng(seed))
    image = read_image(path)
    np.testing.assert_array_equal(image[0].numpy(), VOXELS)
    assert corner_distance(image.affine.numpy(), itk_affine(path)) < 1e-3
    np.testing.assert_array_equal(read_grid(path).affine.numpy(), image.affine.numpy())


@pytest.mark.parametrize("seed", range(30))
def test_a_sheared_sform_counts_where_itk_has_nothing_else(tmp_path: Path, seed: int) -> None:
    path = random_nifti(tmp_path / "a.nii", VOXELS, np.random.default_rng(seed), shear=True)
    header = nib.load(path).header
    try:
        shown = itk_affine(path)
    except RuntimeError:
        assert header["qform_code"] == 0
        scale = {1: 1e3, 3: 1e-3}.get(int(header["xyzt_units"]) % 8, 1.0)
        shown = np.diag([scale, scale, scale, 1.0]) @ header.get_sform()
    assert corner_distance(read_image(path).affine.numpy(), shown) < 1e-3


@pytest.mark.parametrize("seed", range(30))
def test_a_mask_in_the_files_own_header_lies_on_it_for_every_reader(tmp_path: Path, seed: int) -> None:
    path = random_nifti(tmp_path / "a.nii.gz", VOXELS, np.random.default_rng(seed))
    mask = (VOXELS % 3 == 0).astype(np.uint8)
    nib.save(nifti_like(path, mask), tmp_path / "mask.nii.gz")
    own, masks = (nib.load(file) for file in (path, tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(np.asarray(masks.dataobj), mask)
    assert masks.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(masks.affine, own.affine)
    np.testing.assert_array_equal(itk_affine(tmp_path / "mask.nii.gz"), itk_affine(path))
    for field in ("qform_code", "sform_code", "xyzt_units", "pixdim"):
        np.testing.assert_array_equal(masks.header[field], own.header[field])


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ({"qform_code": 0, "sform_code": 0}, np.diag([-1.0, -1.2, 2.0, 1.0])),
        ({"qform_code": 1, "sform_code": 2, "sform": TURNED}, A),
        ({"qform_code": 1, "sform_code": 1, "sform": TURNED}, TURNED),
        ({"qform_code": 0, "sform_code": 4, "sform": TURNED}, TURNED),
        ({"xyzt_units": 1}, np.diag([1e3, 1e3, 1e3, 1]) @ A),
        ({"xyzt_units": 3 + 16}, np.diag([1e-3, 1e-3, 1e-3, 1]) @ A),
        ({"xyzt_units": 0}, A),
        ({"qform_code": 0, "pixdim": [1, 3, 3, 3, 0, 0, 0, 0]}, np.hstack([np.diag([3.0, 3, 3, 1])[:, :3], A[:, 3:]])),
        ({"pixdim": [1, -1, 1.2, 2, 0, 0, 0, 0]}, A @ np.diag([-1.0, 1, 1, 1])),
    ],
    ids=["no code", "qform", "scanner", "sform", "metres", "micrometres", "no unit", "other sizes", "negative size"],
)
def test_what_is_read_of_a_header_on_which_libraries_differ(tmp_path: Path, header: dict, wanted: np.ndarray) -> None:
    path = written(tmp_path / "a.nii", **header)
    assert corner_distance(itk_affine(path), wanted) < 1e-3
    assert corner_distance(read_image(path).affine.numpy(), wanted) < 1e-3


def test_a_header_on_which_all_agree_keeps_the_numbers_of_nibabel(tmp_path: Path) -> None:
    for seed in range(30):
        affine = random_affine(np.random.default_rng(seed))
        image = nib.Nifti1Image(VOXELS, affine)
        image.set_qform(affine, int(seed % 3))
        nib.save(image, tmp_path / "a.nii")
        np.testing.assert_array_equal(
            read_image(tmp_path / "a.nii").affine.numpy(), nib.load(tmp_path / "a.nii").affine
        )


def test_nifti_2_which_itk_does_not_read_lies_where_nibabel_puts_it_in_mm(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", nib.Nifti2Image, xyzt_units=1)
    with pytest.raises(RuntimeError):
        itk_affine(path)
    assert corner_distance(read_image(path).affine.numpy(), np.diag([1e3, 1e3, 1e3, 1]) @ A) < 1e-3
    assert isinstance(nifti_like(path, VOXELS), nib.Nifti2Image)


def test_a_mask_of_a_big_endian_file_lies_on_it(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, None, nib.load(written(tmp_path / "a.nii", sform_code=2, sform=TURNED)).header)
    swapped = nib.Nifti1Image(VOXELS.astype(">i2"), None, image.header.as_byteswapped(">"))
    nib.save(swapped, tmp_path / "big.nii")
    assert nib.load(tmp_path / "big.nii").header.endianness == ">"
    nib.save(nifti_like(tmp_path / "big.nii", VOXELS), tmp_path / "mask.nii")
    np.testing.assert_array_equal(itk_affine(tmp_path / "mask.nii"), itk_affine(tmp_path / "big.nii"))
    assert corner_distance(read_image(tmp_path / "big.nii").affine.numpy(), A) < 1e-3


def test_a_permissive_itk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheared = random_affine(np.random.default_rng(0), shear=True)
    path = written(tmp_path / "a.nii", sform=sheared, qform_code=0, pixdim=[1, 1, 1, 1, 0, 0, 0, 0])
    monkeypatch.setenv("ITK_NIFTI_SFORM_PERMISSIVE", "YES")
    assert corner_distance(read_image(path).affine.numpy(), sheared) < 1e-3


@pytest.mark.parametrize("shape", [(11, 9), (11, 9, 1), (11, 1, 7)])
def test_a_plane_has_the_sizes_that_itk_gives_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    plane = VOXELS.ravel()[: np.prod(shape)].reshape(shape)
    path = written(tmp_path / "a.nii", voxels=plane, qform_code=1, sform_code=2, sform=TURNED, xyzt_units=1)
    axes = [axis for axis, side in enumerate(shape) if side > 1]
    image = read_image(path)
    assert image.ndim == 3
    np.testing.assert_allclose(
        np.linalg.norm(image.affine.numpy()[:3, :2], axis=0), np.array([1e3, 1.2e3, 2e3])[axes], rtol=1e-5
    )
