"""A mask lies on its image in SimpleITK, as in 3D Slicer, and in nibabel, whatever the image's header says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from tests.support.dicom_series import write_series
from tests.support.geometries import SHAPE, corner_distance, random_affine, random_nifti, sitk_affine, sitk_image
from tests.support.phantoms import write_itk
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer

pytestmark = pytest.mark.slow

VOXELS = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.int16)


def mask_of(image: Path, **request: Any) -> tuple[np.ndarray, Path]:
    """A mask in the order of the image's voxels, and the file that is sent to the viewer."""
    original = read_image(image)
    mask = original[0] > 100
    data = {"original": original, "image_path": str(image), "pred": mask.as_tensor().to(torch.uint8), **request}
    file, _ = SegmentationInfer(image.parent / "model.pt", PRESETS["mri"], ("bright",)).writer(data)
    return mask.numpy(), Path(file)


def read_sitk(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file))).T


@pytest.fixture(autouse=True)
def results_in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "results"))


@pytest.mark.parametrize("asked", [None, ".nii.gz", ".nrrd", ".mha"])
def test_of_a_nifti_image(tmp_path: Path, asked: str | None) -> None:
    for seed in range(30):
        image = random_nifti(tmp_path / "image.nii", VOXELS, np.random.default_rng(seed))
        mask, file = mask_of(image, result_extension=asked)
        np.testing.assert_array_equal(read_sitk(file), mask)
        assert corner_distance(sitk_affine(file), sitk_affine(image)) < 1e-3
        if file.name.endswith((".nii", ".nii.gz")):
            np.testing.assert_array_equal(np.asarray(nib.load(file).dataobj), mask)
            np.testing.assert_array_equal(nib.load(file).affine, nib.load(image).affine)


def test_of_a_sheared_nifti_image(tmp_path: Path) -> None:
    for seed in range(30):
        image = random_nifti(tmp_path / "image.nii.gz", VOXELS, np.random.default_rng(seed), shear=True)
        mask, file = mask_of(image)
        np.testing.assert_array_equal(np.asarray(nib.load(file).dataobj), mask)
        np.testing.assert_array_equal(nib.load(file).affine, nib.load(image).affine)
        _, asked = mask_of(image, result_extension=".nrrd")
        assert corner_distance(sitk_affine(asked), read_image(image).affine.numpy()) < 1e-3


@pytest.mark.parametrize("shear", [False, True], ids=["square", "sheared"])
@pytest.mark.parametrize("kind", ["nrrd", "mha", "mhd"])
def test_of_an_image_of_itk(tmp_path: Path, kind: str, shear: bool) -> None:
    for seed in range(30):
        affine = random_affine(np.random.default_rng(seed), shear)
        image = write_itk(tmp_path / f"image.{kind}", VOXELS, affine)
        mask, file = mask_of(image)
        np.testing.assert_array_equal(read_sitk(file), mask)
        assert corner_distance(sitk_affine(file), sitk_affine(image)) < 1e-3
        _, asked = mask_of(image, result_extension=".nii.gz")
        np.testing.assert_array_equal(np.asarray(nib.load(asked).dataobj), mask)
        assert corner_distance(nib.load(asked).affine, affine) < 1e-3
        if not shear:
            assert corner_distance(sitk_affine(asked), sitk_affine(image)) < 1e-3


@pytest.mark.parametrize("shear", [False, True], ids=["straight", "tilted"])
def test_of_a_series(tmp_path: Path, shear: bool) -> None:
    for seed in range(10):
        affine = random_affine(np.random.default_rng(seed), shear)
        volume = sitk_image(VOXELS, affine)
        write_series(tmp_path / str(seed), "a", volume, volume, "CT", "NEW")
        mask, file = mask_of(tmp_path / str(seed))
        assert corner_distance(nib.load(file).affine, read_image(tmp_path / str(seed)).affine.numpy()) < 1e-3
        np.testing.assert_array_equal(np.asarray(nib.load(file).dataobj), mask)
        _, asked = mask_of(tmp_path / str(seed), result_extension=".nrrd")
        np.testing.assert_array_equal(read_sitk(asked), mask)
        # ITK counts the slices from the other end where the axes are left-handed.
        centres = [one @ [*((side - 1) / 2 for side in SHAPE), 1] for one in (sitk_affine(asked), affine)]
        np.testing.assert_allclose(*centres, atol=1e-3)
