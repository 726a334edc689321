"""Pictures are the right way round: anterior on top, the patient's right on the left, X-rays upright."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from tests.support.phantoms import AFFINES, write_itk, write_nifti
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.simulation.thumbnails import OVERLAY, THUMBNAIL, overlay, thumbnail

XRAY, FUNDUS, MRI = PRESETS["xray"], PRESETS["fundus"], PRESETS["mri"]


def pixels(uri: str) -> np.ndarray:
    start = "data:image/png;base64,"
    assert uri.startswith(start)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri[len(start) :]))))


def quarter(picture: np.ndarray) -> tuple[str, str]:
    """Where most of the light is."""
    light = picture.astype(float) if picture.ndim == 2 else picture.astype(float).sum(axis=2)
    rows, columns = (light.sum(axis=axis) for axis in (1, 0))
    half = len(rows) // 2
    upper = "top" if rows[:half].sum() > rows[half:].sum() else "bottom"
    return upper, "left" if columns[:half].sum() > columns[half:].sum() else "right"


def test_an_image_file_is_upright(tmp_path: Path) -> None:
    stored = np.zeros((30, 60), np.uint8)  # rows, columns
    stored[2:10, 45:55] = 200
    Image.fromarray(stored).save(tmp_path / "x.png")
    picture = pixels(thumbnail(tmp_path / "x.png", XRAY))
    assert picture.shape == (THUMBNAIL, THUMBNAIL)
    assert quarter(picture) == ("top", "right")
    assert picture[:20].max() == 0  # padded above and below, not stretched
    assert picture.max() > 200


def test_colours_stay(tmp_path: Path) -> None:
    stored = np.zeros((20, 20, 3), np.uint8)
    stored[:, :, 0], stored[:5, :, 2] = 255, 128
    Image.fromarray(stored).save(tmp_path / "x.png")
    picture = pixels(thumbnail(tmp_path / "x.png", FUNDUS))
    assert picture[5, 48].tolist() == [255, 0, 128]
    assert picture[90, 48].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", AFFINES)
def test_a_volume_is_seen_from_the_feet(tmp_path: Path, name: str) -> None:
    """A bright block at the patient's right, anterior, whatever the order in which the file stores the voxels."""
    affine = AFFINES[name]
    shape = np.array([16, 20, 12])
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in shape), indexing="ij"), axis=-1)
    middle = affine[:3, :3] @ ((shape - 1) / 2)
    place = grid @ affine[:3, :3].T - middle
    volume = np.where((place[..., 0] > 0) & (place[..., 1] > 0), 100.0, 0.0).astype(np.float32)
    volume[0, 0, 0] = 1.0
    path = write_nifti(tmp_path / "x.nii.gz", volume, affine)
    assert quarter(pixels(thumbnail(path, MRI))) == ("top", "left")


def test_the_middle_slice_keeps_its_proportions(tmp_path: Path) -> None:
    volume = np.zeros((20, 20, 9), np.float32)
    volume[..., 4] = 100.0
    path = write_itk(tmp_path / "x.nrrd", volume, np.diag([2.0, 1.0, 3.0, 1.0]))
    picture = pixels(thumbnail(path, MRI))
    lit = picture > 128
    assert lit.any(axis=1).sum() == pytest.approx(THUMBNAIL / 2, abs=1)  # 20 mm anterior, 40 mm right
    assert lit.any(axis=0).sum() == THUMBNAIL


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_what_cannot_be_read_is_grey(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    picture = pixels(thumbnail(path, XRAY))
    assert picture.shape == (THUMBNAIL, THUMBNAIL)
    assert len(np.unique(picture)) == 1
    assert 100 < picture[0, 0] < 230


def test_an_image_of_another_kind_is_grey_too(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii.gz", np.random.default_rng(0).random((8, 8, 8)).astype(np.float32), np.eye(4))
    assert len(np.unique(pixels(thumbnail(path, XRAY)))) == 1


def drawn(png: bytes) -> np.ndarray:
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert picture.shape == (OVERLAY, OVERLAY, 3)
    return picture


def yellow(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] > 180) & (picture[..., 1] > 180) & (picture[..., 2] < 120)


def blue(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] < 130) & (picture[..., 1] > 120) & (picture[..., 2] > 170)


def red(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] > 150) & (picture[..., 1] < 130) & (picture[..., 2] < 60)


def test_truth_and_prediction_are_outlined_where_they_lie() -> None:
    truth, prediction = torch.zeros(2, 40, 40, dtype=torch.uint8)
    truth[2:12, 2:12] = 1  # left, top: the first axis goes to the right
    prediction[28:38, 2:12] = 1
    picture = drawn(overlay(torch.full((1, 40, 40), 0.4), truth, prediction, ["lung"]))
    assert quarter(yellow(picture)) == ("top", "left")
    assert quarter(red(picture)) == ("top", "right")
    assert 1.2 * red(picture).sum() < yellow(picture).sum()  # dashed
    assert picture[200, 128].tolist() == [102, 102, 102]


def test_the_slice_with_most_errors_is_shown() -> None:
    image = torch.zeros(1, 30, 30, 5)
    image[..., 3] = 1.0
    truth = torch.zeros(30, 30, 5, dtype=torch.uint8)
    truth[5:25, 5:25] = 1
    prediction = truth.clone()
    prediction[5:25, 5:15, 3] = 0
    picture = drawn(overlay(image, truth, prediction, ["liver"]))
    assert picture[2, 2].tolist() == [255, 255, 255]
    assert quarter(red(picture))[0] == "top"  # anterior is the end of the second axis
    assert drawn(overlay(image, truth, truth, ["liver"])).max(axis=(0, 1))[2] < 255  # a slice of the others


def test_every_label_is_outlined_and_an_empty_prediction_is_none() -> None:
    truth = np.zeros((40, 40), np.uint8)
    truth[4:10, 4:10], truth[30:36, 30:36] = 1, 2
    picture = drawn(overlay(torch.zeros(1, 40, 40), truth, np.zeros_like(truth), ["liver", "spleen"]))
    assert quarter(yellow(picture)) == ("top", "left")
    assert quarter(blue(picture)) == ("bottom", "right")
    assert not red(picture).any()


def test_labels_that_changed_places_are_seen() -> None:
    """One above the other: the truth's colours, and dashed on the same lines those of the prediction."""
    truth = np.zeros((40, 40), np.uint8)
    truth[4:36, 4:18], truth[4:36, 22:36] = 1, 2
    right, swapped = (
        drawn(overlay(torch.zeros(1, 40, 40), truth, made, ["liver", "spleen"])) for made in (truth, (3 - truth) % 3)
    )
    assert not blue(right)[:120].any()
    assert blue(swapped)[:120].sum() > 50
    assert yellow(swapped)[136:].sum() > 50


def test_a_colour_image_with_spacing_keeps_both() -> None:
    image = MetaTensor(torch.zeros(3, 20, 20), affine=torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0])))
    image[0] = 1.0
    mask = torch.ones(20, 20, dtype=torch.uint8)
    picture = drawn(overlay(image, mask * 0, mask * 0, ["disc"]))
    assert picture[128, 128].tolist() == [255, 0, 0]
    assert picture[20, 128].tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [64, 1000])
def test_a_speck_and_a_mask_without_an_edge_are_no_trouble(size: int) -> None:
    """matplotlib would warn of an outline that is not there."""
    speck, everything = torch.zeros(size, size, dtype=torch.uint8), torch.ones(size, size, dtype=torch.uint8)
    speck[size // 2, size // 2] = 1
    picture = drawn(overlay(torch.zeros(1, size, size), everything, speck, ["lung"]))
    assert not yellow(picture).any()
    assert red(picture).any() == (size < OVERLAY)
