from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.image_files import write_series
from tests.support.phantoms import AFFINES, oblique, write_itk, write_nifti, write_png
from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label, usable_pairs

XRAY, MRI = PRESETS["xray"], PRESETS["mri"]
SHAPE = (8, 9, 10)


def mask(shape: tuple[int, ...] = SHAPE, labels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, labels + 1, shape).astype(np.uint8)


def volume(path: Path, affine: np.ndarray, shape: tuple[int, ...] = SHAPE) -> Path:
    return write_nifti(path, np.random.default_rng(1).random(shape, dtype=np.float32), affine)


def test_with_one_label_any_number_is_foreground(tmp_path: Path) -> None:
    image = read_image(write_png(tmp_path / "image.png", np.arange(30).reshape(5, 6)))
    drawn = np.zeros((5, 6))
    drawn[1, 2], drawn[3, 4] = 255, 7
    label = read_label(write_png(tmp_path / "label.png", drawn), ("lung",), image)
    assert label.dtype == torch.uint8
    np.testing.assert_array_equal(label[0].numpy(), drawn > 0)


def test_several_labels_keep_their_numbers_and_refuse_others(tmp_path: Path) -> None:
    image = read_image(write_png(tmp_path / "image.png", np.arange(30).reshape(5, 6)))
    drawn = np.arange(30).reshape(5, 6) % 3
    path = write_png(tmp_path / "label.png", drawn)
    np.testing.assert_array_equal(read_label(path, ("a", "b"), image)[0].numpy(), drawn)
    drawn[0, 0] = 128
    write_png(path, drawn)
    with pytest.raises(UserError, match=r"label\.png: holds the value 128 .* a,b"):
        read_label(path, ("a", "b"), image)


@pytest.mark.parametrize("value", [0.5, -1.0])
def test_fractions_and_negative_numbers_are_no_labels(tmp_path: Path, value: float) -> None:
    image = conform(read_image(volume(tmp_path / "image.nii.gz", np.eye(4))), MRI)
    drawn = mask().astype(np.float32)
    drawn[0, 0, 0] = value
    with pytest.raises(UserError, match=f"holds the value {value:g}"):
        read_label(write_nifti(tmp_path / "label.nii.gz", drawn, np.eye(4)), ("a", "b"), image)


def test_another_shape_is_refused_and_both_are_named(tmp_path: Path) -> None:
    image = read_image(write_png(tmp_path / "image.png", np.zeros((5, 6)) + np.arange(6)))
    with pytest.raises(UserError, match=r"label\.png: the label is 6 x 5 but its image is 5 x 6"):
        read_label(write_png(tmp_path / "label.png", np.ones((6, 5))), ("lung",), image)


def test_a_colour_label_is_refused(tmp_path: Path) -> None:
    image = read_image(write_png(tmp_path / "image.png", np.arange(30).reshape(5, 6)))
    Image.fromarray(np.arange(90, dtype=np.uint8).reshape(6, 5, 3)).save(tmp_path / "label.png")
    with pytest.raises(UserError, match=r"label\.png: the label is a colour image"):
        read_label(tmp_path / "label.png", ("lung",), image)


def test_a_2d_image_may_have_a_label_of_one_slice(tmp_path: Path) -> None:
    """3D Slicer draws on PNG files as on volumes of one slice."""
    image = read_image(write_png(tmp_path / "image.png", np.arange(30).reshape(5, 6)))
    drawn = mask((5, 6, 1))
    label = read_label(write_itk(tmp_path / "label.nrrd", drawn, np.eye(4)), ("a", "b"), image)
    np.testing.assert_array_equal(label[0].numpy(), drawn[..., 0])


@pytest.mark.parametrize("name", AFFINES)
def test_a_volume_label_arrives_on_the_grid_of_the_conformed_image(tmp_path: Path, name: str) -> None:
    affine = AFFINES[name]
    image = conform(read_image(volume(tmp_path / "image.nii.gz", affine)), MRI)
    drawn = nib.Nifti1Image(mask(), affine)
    nib.save(drawn, tmp_path / "label.nii.gz")
    label = read_label(tmp_path / "label.nii.gz", ("a", "b"), image)
    np.testing.assert_array_equal(label[0].numpy(), nib.as_closest_canonical(drawn).get_fdata())


def test_a_label_with_its_axes_in_another_order_is_the_same_label(tmp_path: Path) -> None:
    affine = oblique((1.0, 0.8, 2.0))
    image = conform(read_image(volume(tmp_path / "image.nii.gz", affine)), MRI)
    drawn = nib.Nifti1Image(mask(), affine)
    nib.save(drawn, tmp_path / "label.nii.gz")
    nib.save(nib.as_closest_canonical(drawn), tmp_path / "ras.nii.gz")
    labels = [read_label(tmp_path / name, ("a", "b"), image) for name in ("label.nii.gz", "ras.nii.gz")]
    torch.testing.assert_close(*labels)


@pytest.mark.parametrize("change", ["shift", "flip", "spacing"])
def test_a_volume_label_that_lies_elsewhere_is_refused(tmp_path: Path, change: str) -> None:
    affine = oblique()
    image = conform(read_image(volume(tmp_path / "image.nii.gz", affine)), MRI)
    wrong = affine.copy()
    if change == "shift":
        wrong[0, 3] += 2
    elif change == "flip":
        wrong[:3, 0] *= -1
    else:
        wrong[:3, 2] *= 1.1
    path = write_nifti(tmp_path / "label.nii.gz", mask(), wrong)
    with pytest.raises(UserError, match=r"label\.nii\.gz: the label lies elsewhere"):
        read_label(path, ("a", "b"), image)


def test_rounding_of_the_affine_is_tolerated(tmp_path: Path) -> None:
    affine = oblique()
    image = conform(read_image(volume(tmp_path / "image.nii.gz", affine)), MRI)
    path = write_nifti(tmp_path / "label.nii.gz", mask(), affine + 1e-3 * (affine != 0))
    assert read_label(path, ("a", "b"), image).any()


def test_bad_pairs_are_left_out_with_one_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs = []
    for name in ("b", "a", "empty", "shape", "gone"):
        image = write_png(tmp_path / f"{name}.png", np.arange(30).reshape(5, 6))
        drawn = np.zeros((6, 5) if name == "shape" else (5, 6))
        drawn[0, :2] = name != "empty"
        label = tmp_path / "labels" / f"{name}.png"
        if name != "gone":
            write_png(label, drawn)
        pairs.append({"image": str(image), "label": str(label)})
    with caplog.at_level(logging.INFO):
        good, bad = usable_pairs(pairs, XRAY, ("lung",))
    assert [Path(pair.image).stem for pair in good] == ["a", "b", "empty"]
    assert good[0].shape == (5, 6)
    assert sorted(Path(path).stem for path, _ in bad) == ["gone", "shape"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 3
    assert all(reason in " ".join(warnings) for _, reason in bad)
    assert any("empty.png: nothing is drawn on it" in line for line in warnings)
    assert [Path(pair.image).stem for pair in good if pair.remark] == ["empty"]


def test_no_usable_pair_is_an_error_that_tells_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no usable label"):
        usable_pairs([], XRAY, ("lung",))
    image = write_png(tmp_path / "image.png", np.arange(30).reshape(5, 6))
    with pytest.raises(UserError, match=r"no usable label .*gone\.png"):
        usable_pairs([{"image": str(image), "label": str(tmp_path / "gone.png")}], XRAY, ("lung",))


def test_a_nifti_label_of_a_dicom_series_fits_it(tmp_path: Path) -> None:
    """Viewers save labels of DICOM images as NIfTI or NRRD, whose axes run the other way."""
    drawn = mask()
    series = write_series(tmp_path / "series", drawn.astype(np.int16), (0.8, 0.8, 2.0))
    image = conform(read_image(series), MRI)
    affine = np.diag([-0.8, -0.8, 2.0, 1.0])
    for label in (
        write_nifti(tmp_path / "label.nii.gz", drawn, affine),
        write_itk(tmp_path / "label.nrrd", drawn, affine),
        write_nifti(tmp_path / "ras.nii.gz", drawn[::-1, ::-1], np.diag([0.8, 0.8, 2.0, 1.0]) + _shift(drawn)),
    ):
        torch.testing.assert_close(read_label(label, ("a", "b"), image).float(), image.as_tensor())


def _shift(drawn: np.ndarray) -> np.ndarray:
    """Moves the origin to the voxel that was last before both axes were turned round."""
    shift = np.zeros((4, 4))
    shift[:2, 3] = [-0.8 * (drawn.shape[0] - 1), -0.8 * (drawn.shape[1] - 1)]
    return shift
