"""What the archive's datastore makes of files, without an archive."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from xssr_strategy.archive.volumes import is_made_now, write_nifti
from xssr_strategy.datastores.archive import _drawn
from xssr_strategy.datastores.bare_voxels import voxels_file
from xssr_strategy.datastores.nifti_cache import is_current
from xssr_strategy.errors import UserError


def test_bytes_in_the_order_x_y_z_become_a_label_on_the_voxels_of_the_image(tmp_path: Path) -> None:
    reference = sitk.Image([4, 3, 2], sitk.sitkInt16)
    reference.SetSpacing([1.0, 2.0, 3.0])
    reference.SetOrigin([5.0, 6.0, 7.0])
    (tmp_path / "voxels.bin").write_bytes(np.arange(24, dtype=np.uint8).tobytes())
    label = sitk.ReadImage(str(voxels_file(tmp_path / "voxels.bin", reference, tmp_path)))
    assert (label.GetSpacing(), label.GetOrigin()) == ((1.0, 2.0, 3.0), (5.0, 6.0, 7.0))
    assert label.GetPixel(1, 0, 0) == 1  # x runs fastest
    assert label.GetPixel(0, 1, 0) == 4
    assert label.GetPixel(0, 0, 1) == 12
    assert _drawn(label)
    assert not _drawn(reference)
    (tmp_path / "voxels.bin").write_bytes(b"\0" * 23)
    with pytest.raises(UserError, match="The label has 23 voxels, but its image 4 x 3 x 2; submit it again"):
        voxels_file(tmp_path / "voxels.bin", reference, tmp_path)


def test_a_converted_file_is_of_use_while_no_slice_is_current(tmp_path: Path) -> None:
    folder, file = tmp_path / "series", tmp_path / "series.nii.gz"
    folder.mkdir()
    assert not is_current(file, folder)
    write_nifti(sitk.Image(3, 4, 2, sitk.sitkInt16), file)
    for place, name in enumerate(("a.dcm", "b.dcm")):
        (folder / name).touch()
        os.utime(folder / name, (100 + place, 100 + place))
    os.utime(file, (101, 101))
    assert is_current(file, folder)
    os.utime(folder / "a.dcm", (102, 102))
    assert not is_current(file, folder)


def test_a_file_of_an_earlier_reading_is_converted_again(tmp_path: Path) -> None:
    """Earlier versions wrote no description; ITK, which reads it for viewers, takes it for no more than a remark."""
    folder, plain, sheared = tmp_path / "series", tmp_path / "plain.nii.gz", tmp_path / "sheared.nii.gz"
    folder.mkdir()
    (folder / "a.dcm").touch()
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    sitk.WriteImage(image, str(plain))
    assert not is_current(plain, folder)
    write_nifti(image, plain)
    assert is_current(plain, folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(plain))), sitk.GetArrayFromImage(image))
    image.SetDirection([1, 0, 0, 0, 1, 0.3, 0, 0, 1])
    write_nifti(image, sheared)
    assert is_current(sheared, folder)
    sheared.write_bytes(sheared.read_bytes()[:20])
    assert not is_made_now(sheared)
