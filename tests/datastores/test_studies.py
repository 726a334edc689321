"""The folder of studies as MONAI Label sees it: its images, its labels, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException
from PIL import Image

from tests.support.data import DICOM, need
from tests.support.pools import write
from xssr_strategy.datastores.studies import StudiesDatastore


def test_ids_and_tags_cannot_lead_out_of_the_folder(tmp_path) -> None:
    studies = write(tmp_path / "studies", 16, 1)
    datastore, image = StudiesDatastore(str(studies), watch=False), studies / "i00.png"
    with pytest.raises(HTTPException, match="must be a plain name"):
        datastore.add_image("../../escaped", str(image), {})
    with pytest.raises(HTTPException, match="must be a plain name"):
        datastore.save_label("i00", str(image), "../../escaped", {})
    with pytest.raises(HTTPException, match="must be a plain name"):
        datastore.save_label("i00", str(image), "..", {})
    assert not list(tmp_path.rglob("escaped*"))


def test_an_image_that_somebody_has_just_copied_is_not_written_over(tmp_path) -> None:
    studies = write(tmp_path / "studies", 2, 1)
    datastore = StudiesDatastore(str(studies), watch=False)
    image = studies / "copied.png"
    shutil.copy(studies / "i00.png", image)
    with pytest.raises(HTTPException, match="there is one of this name already; rename the file"):
        datastore.add_image("copied", str(studies / "i01.png"), {})
    assert image.read_bytes() == (studies / "i00.png").read_bytes()


def test_datastore_lists_dicom_series_and_all_extensions(tmp_path) -> None:
    need(DICOM)
    shutil.copytree(DICOM / "mr_hcrop_1", tmp_path / "1.2.840.1")
    shutil.copytree(DICOM / "mr_hcrop_2", tmp_path / "second series")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "photo.jpeg")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "UPPER.PNG")
    (tmp_path / "note.xml").write_text("no image")
    (tmp_path / "._photo.jpeg").write_text("what another system leaves behind")
    datastore = StudiesDatastore(str(tmp_path))
    assert sorted(datastore.list_images()) == ["1.2.840.1", "UPPER", "photo", "second series"]
    assert Path(datastore.get_image_uri("1.2.840.1")) == tmp_path / "1.2.840.1"
    linking = StudiesDatastore(str(tmp_path), watch=False, links=tmp_path / "links")  # as for pictures
    assert linking.get_image_info("1.2.840.1")["path"] == str(tmp_path / "1.2.840.1")
    shown = linking.get_image_info("photo")
    assert Path(shown["path"]).read_bytes() == (tmp_path / "photo.jpeg").read_bytes()
    assert not any(letter.isdigit() for letter in shown["name"])
    label = tmp_path / "mask.nii.gz"
    label.write_bytes(b"x")
    with pytest.raises(HTTPException, match=r"damaged or cut off; submit it again"):
        datastore.save_label("1.2.840.1", str(label), "final", {})
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), label)
    with pytest.raises(HTTPException, match="image 'nobody' does not exist"):
        datastore.save_label("nobody", str(label), "final", {})
    datastore.save_label("1.2.840.1", str(label), "final", {})
    assert datastore.get_labeled_images() == ["1.2.840.1"]
    assert Path(datastore.get_label_uri("1.2.840.1", "final")).exists()
    assert StudiesDatastore(str(tmp_path)).get_labeled_images() == ["1.2.840.1"]  # also after a restart
