"""A label whose segments come in another order: its numbers change, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from fastapi import HTTPException
from PIL import Image

from tests.support.geometries import SHAPE, itk_affine, random_affine, random_nifti
from tests.support.odd_pictures import png
from tests.support.phantoms import write_itk
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image

DRAWN = np.random.default_rng(0).integers(0, 3, SHAPE, dtype=np.uint8)
SWAPPED = np.array([0, 2, 1], dtype=np.uint8)[DRAWN]
OTHER_ORDER = {"label_info": [{"name": "tumour"}, {"name": "liver"}]}


def kept(folder: Path, image: Path, label: Path, preset: str = "mri") -> Path:
    """The file that the datastore keeps of a label whose segments are tumour and liver."""
    datastore = StudiesDatastore(str(folder), watch=False, preset=PRESETS[preset], labels=("liver", "tumour"))
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


PICTURE = DRAWN[..., 0].T
"""(rows, columns)."""


def four_bits(path: Path) -> None:
    rows = np.pad(PICTURE, ((0, 0), (0, PICTURE.shape[1] % 2)))
    raw = b"".join(b"\0" + bytes(row[::2] << 4 | row[1::2]) for row in rows)
    path.write_bytes(png(*PICTURE.shape[::-1], 4, 0, raw))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("l.png", lambda path: Image.fromarray(PICTURE).save(path)),
        ("l.png", lambda path: Image.fromarray(PICTURE.astype(np.uint16)).save(path)),
        ("l.png", lambda path: Image.fromarray(np.stack([PICTURE, 255 + 0 * PICTURE], -1), "LA").save(path)),
        ("l.png", lambda path: Image.fromarray(np.repeat(PICTURE[..., None], 3, -1)).save(path)),
        ("l.png", four_bits),
        ("l.tif", lambda path: tifffile.imwrite(path, PICTURE, tile=(16, 16))),
        ("l.tif", lambda path: tifffile.imwrite(path, PICTURE.astype(np.float64))),
        ("l.tif", lambda path: tifffile.imwrite(path, PICTURE[:, ::-1], extratags=[(274, "H", 1, 2, True)])),
    ],
    ids=["plain", "16 bits", "alpha", "three equal bands", "4 bits", "tiles", "64 bits", "mirrored"],
)
def test_a_picture_keeps_its_pixels(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    (tmp_path / "studies").mkdir()
    Image.fromarray(np.zeros(PICTURE.shape, np.uint8)).save(tmp_path / "studies" / "i.png")
    write(tmp_path / name)
    file = kept(tmp_path / "studies", tmp_path / "studies" / "i.png", tmp_path / name, "xray")
    assert file.suffix == Path(name).suffix
    swapped = np.array([0, 2, 1], dtype=np.uint8)[PICTURE]
    np.testing.assert_array_equal(np.asarray(Image.open(file)), swapped)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), swapped)


def test_a_picture_that_is_refused_says_why(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    Image.fromarray(np.zeros(PICTURE.shape, np.uint8)).save(tmp_path / "studies" / "i.png")
    tifffile.imwrite(tmp_path / "l.tif", PICTURE.T, extratags=[(274, "H", 1, 5, True)])
    with pytest.raises(HTTPException, match=r"The label .*\(TIFF orientation 5\), .*; save it upright"):
        kept(tmp_path / "studies", tmp_path / "studies" / "i.png", tmp_path / "l.tif", "xray")


def test_a_stack_of_pages_keeps_its_place(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    tifffile.imwrite(tmp_path / "studies" / "stack.tif", np.zeros(SHAPE[::-1], np.uint8))
    tifffile.imwrite(tmp_path / "stack.tif", DRAWN.T)
    file = kept(tmp_path / "studies", tmp_path / "studies" / "stack.tif", tmp_path / "stack.tif")
    np.testing.assert_array_equal(tifffile.imread(file).T, SWAPPED)
    written = read_image(tmp_path / "stack.tif").affine.numpy()
    np.testing.assert_allclose(read_image(file).affine.numpy(), written, rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [-1, 7])
def test_a_number_that_no_segment_has_is_refused(tmp_path: Path, value: int) -> None:
    affine = random_affine(np.random.default_rng(2), shear=False)
    image = write_itk(tmp_path / "studies" / "i.nrrd", np.zeros(SHAPE, dtype=np.int16), affine)
    drawn = DRAWN.astype(np.int16)
    drawn[0, 0, 0] = value
    label = write_itk(tmp_path / "label.nrrd", drawn, affine)
    with pytest.raises(HTTPException, match="holds the value -1" if value < 0 else "'number 7' is none of the labels"):
        kept(tmp_path / "studies", image, label)
