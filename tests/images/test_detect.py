"""The preset that a folder suggests."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.support.image_files import ramp, shared_data
from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import detect_preset, preset_by_name
from xssr_strategy.images.listing import find_images


def picture(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def volume(path: Path, array: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    return path


def test_real_folders() -> None:
    for folder, name in (
        ("cxr-lung/montgomery/images", "xray"),
        ("hippocampus/images", "mri"),
        ("dicom", "mri"),
        ("dicom/ct_3slice_seg", "ct"),
    ):
        paths = [path for path in find_images(shared_data(folder)).values() if path.name != "seg"]
        assert detect_preset(paths).name == name


def test_colour_is_fundus_and_grey_stored_as_rgb_is_xray(tmp_path: Path) -> None:
    grey = ramp((8, 8))
    colour = picture(tmp_path / "colour.png", ramp((8, 8, 3)))
    assert detect_preset([colour]).name == "fundus"
    assert detect_preset([picture(tmp_path / "grey.png", np.stack([grey] * 3, axis=-1))]).name == "xray"


def test_hounsfield_units_are_whole_and_reach_air(tmp_path: Path) -> None:
    hounsfield = volume(tmp_path / "ct.nii.gz", ramp((8, 8, 8), np.int16, step=3) - 1000)
    standardised = np.random.default_rng(0).normal(0, 300, (8, 8, 8)).astype(np.float32)
    assert standardised.min() < -500
    assert detect_preset([hounsfield]).name == "ct"
    assert detect_preset([volume(tmp_path / "mri.nii.gz", standardised)]).name == "mri"
    assert detect_preset([volume(tmp_path / "shallow.nii.gz", ramp((8, 8, 8), np.int16) - 100)]).name == "mri"


def test_majority_of_dimensions_wins_and_a_tie_is_three_dimensional(tmp_path: Path) -> None:
    flat = [picture(tmp_path / f"{n}.png", ramp((8, 8))) for n in range(2)]
    deep = [volume(tmp_path / f"{n}.nii.gz", ramp((8, 8, 8))) for n in range(2)]
    assert detect_preset([*flat, deep[0]]).name == "xray"
    assert detect_preset([*flat, *deep]).name == "mri"


def test_images_are_taken_evenly_and_unreadable_ones_replaced(tmp_path: Path) -> None:
    colour = [picture(tmp_path / f"{n}.png", ramp((8, 8, 3))) for n in range(8)]
    grey = [picture(tmp_path / f"{n + 8}.png", ramp((8, 8))) for n in range(24)]
    assert detect_preset([*colour, *grey], limit=8).name == "xray"  # the first eight alone would be colour
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    assert detect_preset([broken, broken, grey[0]], limit=2).name == "xray"


def test_no_readable_image(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    with pytest.raises(UserError, match=r"none of the 2 images can be read: .*broken\.png: is damaged") as caught:
        detect_preset([broken, tmp_path / "missing.png"])
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no image"):
        detect_preset([])


def test_preset_by_name() -> None:
    assert preset_by_name("ct").window == (-1000.0, 1000.0)
    with pytest.raises(UserError, match=r"'xry'.*xray, fundus, mri, ct"):
        preset_by_name("xry")
