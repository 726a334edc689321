"""What a 2-D network sees: upright squares, slices spread over the middle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.images.slices import slice_positions, slices_input

CT = replace(PRESETS["ct"], window=(0.0, 100.0))


def volume(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.eye(4) if affine is None else affine), path)
    return path


def test_slices_are_spread_evenly_over_the_middle_and_repeat_in_a_thin_volume() -> None:
    assert slice_positions(100, 1).tolist() == [50]
    assert slice_positions(100, 4).tolist() == [20, 40, 60, 80]
    assert slice_positions(90, 9).tolist() == [13, 21, 29, 37, 45, 53, 61, 69, 77]
    assert slice_positions(2, 4).tolist() == [0, 0, 1, 1]
    assert slice_positions(1, 3).tolist() == [0, 0, 0]


def test_a_slice_lies_as_radiologists_see_it_whatever_the_axes_of_the_file(tmp_path) -> None:
    values = np.zeros((8, 8, 10))
    values[6:, 6:, :] = 100.0  # the patient's right, anterior: upper left in the picture
    seen = slices_input(volume(tmp_path / "ras.nii.gz", values), CT, 8, 3)
    assert seen.shape == (3, 1, 8, 8)
    assert seen[0, 0, :2, :2].min() == 1.0
    assert seen.sum() == 12.0
    flipped = volume(tmp_path / "las.nii.gz", values[::-1], np.diag([-1.0, 1.0, 1.0, 1.0]))
    assert torch.equal(slices_input(flipped, CT, 8, 3), seen)


def test_the_scale_is_that_of_the_whole_volume_and_proportions_are_kept(tmp_path) -> None:
    values = np.tile(np.arange(10.0), (8, 4, 1))
    mri = replace(PRESETS["mri"], percentiles=(0.0, 100.0))
    seen = slices_input(volume(tmp_path / "v.nii.gz", values), mri, 16, 2)
    inside = seen[:, 0, 4:12]
    assert [round(float(part.max()), 3) for part in inside] == [round(3 / 9, 3), round(7 / 9, 3)]
    assert seen[:, 0, :4].sum() == 0.0  # twice as wide as high: padded above and below


def test_a_picture_is_upright_and_alone(tmp_path) -> None:
    pixels = np.zeros((6, 12), np.uint8)
    pixels[:2] = 200  # the upper third
    Image.fromarray(pixels).save(tmp_path / "i.png")
    preset = replace(PRESETS["xray"], percentiles=(0.0, 100.0))
    seen = slices_input(tmp_path / "i.png", preset, 12, 9)
    assert seen.shape == (1, 1, 12, 12)
    assert seen[0, 0, 3:5].min() == 1.0
    assert seen[0, 0, 6:].max() == 0.0
    rgb = slices_input(tmp_path / "i.png", PRESETS["fundus"], 12, 9)
    assert rgb.shape == (1, 3, 12, 12)


def test_a_volume_under_a_2d_preset_is_refused(tmp_path) -> None:
    with pytest.raises(UnreadableImage, match="is a 3-D image but preset 'xray'"):
        slices_input(volume(tmp_path / "v.nii.gz", np.zeros((4, 4, 4))), PRESETS["xray"], 8, 2)
