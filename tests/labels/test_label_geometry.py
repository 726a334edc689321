"""A label fits its image whichever library wrote it on the image's grid, and whatever the image's header says."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import MetaTensor

from tests.support.geometries import SHAPE, random_affine, random_nifti, sitk_image
from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import TO_RAS, conform
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_grid, read_image
from xssr_strategy.labels.reading import read_label

MRI, LABELS = PRESETS["mri"], ("liver", "tumour")
DRAWN = np.random.default_rng(0).integers(0, 3, SHAPE, dtype=np.uint8)


def image_of(folder: Path, seed: int, shear: bool = False) -> Path:
    voxels = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    return random_nifti(folder / "image.nii.gz", voxels, np.random.default_rng(seed), shear)


def read_back(label: Path, image: Path) -> np.ndarray:
    """The label in the order of the image's file."""
    grid = conform(read_grid(image), MRI)
    found = MetaTensor(read_label(label, LABELS, grid), affine=grid.affine, applied_operations=grid.applied_operations)
    return np.asarray(TO_RAS.inverse(found)[0])


def drawn_in_viewer(image: Path, file: Path) -> Path:
    """As 3D Slicer writes a label: on the grid that ITK gives the image."""
    shown = sitk.ReadImage(str(image))
    label = sitk.GetImageFromArray(DRAWN.T)
    label.CopyInformation(shown)
    sitk.WriteImage(label, str(file))
    return file


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
@pytest.mark.parametrize("seed", range(30))
def test_a_label_of_a_viewer_fits(tmp_path: Path, seed: int, extension: str) -> None:
    image = image_of(tmp_path, seed)
    np.testing.assert_array_equal(read_back(drawn_in_viewer(image, tmp_path / f"label{extension}"), image), DRAWN)


@pytest.mark.parametrize("shear", [False, True], ids=["square", "sheared"])
@pytest.mark.parametrize("seed", range(30))
def test_a_label_with_the_affine_that_nibabel_gives_the_image_fits(tmp_path: Path, seed: int, shear: bool) -> None:
    image = image_of(tmp_path, seed, shear)
    nib.save(nib.Nifti1Image(DRAWN, nib.load(image).affine), tmp_path / "label.nii.gz")
    np.testing.assert_array_equal(read_back(tmp_path / "label.nii.gz", image), DRAWN)


def test_an_image_whose_label_alone_has_two_places_fits(tmp_path: Path) -> None:
    affine = random_affine(np.random.default_rng(0))
    nib.save(nib.Nifti1Image(DRAWN.astype(np.float32), affine), tmp_path / "image.nii")
    label = nib.Nifti1Image(DRAWN, affine)
    label.set_qform(random_affine(np.random.default_rng(1)), 1)
    label.header["pixdim"][1:4] = nib.affines.voxel_sizes(affine)
    nib.save(label, tmp_path / "label.nii")
    assert not np.allclose(read_image(tmp_path / "label.nii").affine, affine, atol=1)
    np.testing.assert_array_equal(read_back(tmp_path / "label.nii", tmp_path / "image.nii"), DRAWN)


@pytest.mark.parametrize("seed", range(8))
def test_a_label_that_lies_elsewhere_is_refused(tmp_path: Path, seed: int) -> None:
    image = image_of(tmp_path, seed)
    affine = read_image(image).affine.numpy().copy()
    affine[:3, 3] += affine[:3, 0]
    sitk.WriteImage(sitk_image(DRAWN, affine), str(tmp_path / "label.nrrd"))
    with pytest.raises(UserError, match=r"label\.nrrd: the label lies elsewhere in space than its image"):
        read_back(tmp_path / "label.nrrd", image)
