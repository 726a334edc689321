"""A label whose segments come in another order: its numbers change, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tests.support.geometries import SHAPE, itk_affine, random_affine, random_nifti
from tests.support.phantoms import write_itk
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image

DRAWN = np.random.default_rng(0).integers(0, 3, SHAPE, dtype=np.uint8)
SWAPPED = np.array([0, 2, 1], dtype=np.uint8)[DRAWN]
OTHER_ORDER = {"label_info": [{"name": "tumour"}, {"name": "liver"}]}


def kept(folder: Path, image: Path, label: Path) -> Path:
    """The file that the datastore keeps of a label whose segments are tumour and liver."""
    datastore = StudiesDatastore(str(folder), watch=False, preset=PRESETS["mri"], labels=("liver", "tumour"))
    image_id = image.name.split(".")[0]
    datastore.save_label(image_id, str(label), "final", OTHER_ORDER)
    return Path(datastore.get_label_uri(image_id, "final"))


@pytest.mark.parametrize("shear", [False, True], ids=["square", "sheared"])
@pytest.mark.parametrize("seed", range(8))
def test_a_nifti_label_keeps_its_header(tmp_path: Path, seed: int, shear: bool) -> None:
    voxels = np.zeros(SHAPE, dtype=np.float32)
    image = random_nifti(tmp_path / "studies" / "i.nii.gz", voxels, np.random.default_rng(seed), shear)
    own = nib.load(image)
    label = nib.Nifti1Image(DRAWN, None, own.header)
    label.set_data_dtype(np.uint8)
    nib.save(label, tmp_path / "label.nii.gz")
    file = kept(tmp_path / "studies", image, tmp_path / "label.nii.gz")
    found = nib.load(file)
    np.testing.assert_array_equal(np.asarray(found.dataobj), SWAPPED)
    assert found.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(found.affine, own.affine)
    np.testing.assert_array_equal(read_image(file).affine.numpy(), read_image(image).affine.numpy())


@pytest.mark.parametrize("shear", [False, True], ids=["square", "sheared"])
@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".seg.nrrd"])
def test_a_label_of_itk_keeps_its_place(tmp_path: Path, extension: str, shear: bool) -> None:
    affine = random_affine(np.random.default_rng(2), shear)
    image = write_itk(tmp_path / "studies" / "i.nrrd", np.zeros(SHAPE, dtype=np.int16), affine)
    label = write_itk(tmp_path / f"label{extension}", DRAWN, affine)
    file = kept(tmp_path / "studies", image, label)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))).T, SWAPPED)
    np.testing.assert_allclose(itk_affine(file), itk_affine(label), rtol=0, atol=1e-12)
