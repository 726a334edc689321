from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from xssr_strategy.errors import UserError
from xssr_strategy.labels.values import EMPTY, checked_numbers, remark


@pytest.mark.parametrize("value", [0.03, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("names", [("lung",), ("a", "b")])
def test_what_is_no_label_number_is_refused(value: float, names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=f"holds the value {value:g}"):
        checked_numbers(np.array([0.0, 1.0, value]), names)


def test_numbers_beyond_several_labels_are_refused() -> None:
    with pytest.raises(UserError, match="holds the value 3 but the labels a,b are the numbers 1 to 2"):
        checked_numbers(np.array([0, 1, 3]), ("a", "b"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_whole_numbers_of_every_type_are_taken(dtype: type) -> None:
    values = np.array([0, 1, 255], dtype)
    np.testing.assert_array_equal(checked_numbers(values, ("lung",)), [0, 1, 1])
    np.testing.assert_array_equal(checked_numbers(values[:2], ("a", "b")), [0, 1])


def test_rounding_of_scaled_files_is_tolerated() -> None:
    np.testing.assert_array_equal(checked_numbers(np.array([1e-4, 1.0004, 1.9996]), ("a", "b")), [0, 1, 2])


@pytest.mark.parametrize(
    ("values", "names", "told"),
    [
        ([0, 255, 255], ("lung",), ""),
        ([0, 0, 2], ("a", "b"), "a single voxel is drawn on it"),
        ([1, 2, 2], ("a", "b"), "it fills the image"),
        ([1, 2, 2], ("lung",), "it holds 2 numbers (1, 2)"),
        ([0, 1, 2], ("a", "b"), ""),
        ([0, 0], ("a", "b"), EMPTY),
        ([0, 1e-5], ("lung",), EMPTY),
        ([0, 1, 2], ("lung",), "it holds 2 numbers (1, 2) and all of them count as lung"),
        ([*range(40)], ("lung",), "it holds 39 numbers (1, 2, 3, 4, ...)"),
    ],
)
def test_remarks(values: list[float], names: tuple[str, ...], told: str) -> None:
    found = remark(np.array(values), names)
    assert found.startswith(told)
    assert bool(found) == bool(told)


def disc(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return 255 * (((rows - 0.51 * side) ** 2 + (columns - 0.47 * side) ** 2) < (side / 4) ** 2).astype(np.uint8)


def as_jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def compress(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return compress


@pytest.mark.parametrize(
    "soften",
    [
        *(pytest.param(as_jpeg(quality), id=f"JPEG {quality}") for quality in (30, 75, 95)),
        *(
            pytest.param(lambda picture, by=by: picture.filter(ImageFilter.GaussianBlur(by)), id=f"blur {by}")
            for by in (0.5, 1.5, 20)
        ),
        *(
            pytest.param(lambda picture, by=by: picture.resize((100, 100), by), id=f"resampled {by.name}")
            for by in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
        ),
        pytest.param(lambda picture: picture.reduce(2), id="antialiased"),
    ],
)
def test_whole_numbers_with_soft_edges_are_refused(soften: Callable[[Image.Image], Image.Image]) -> None:
    values = np.asarray(soften(Image.fromarray(disc())))
    with pytest.raises(
        UserError, match=r"^holds \d+ numbers between 0 and \d+ that rise along its edges, .*; save the"
    ):
        checked_numbers(values[np.newaxis], ("lung",))


def test_soft_edges_of_a_volume_are_refused() -> None:
    ball = np.linalg.norm(np.mgrid[:24, :24, :24] - 12, axis=0) < 8
    with pytest.raises(UserError, match="rise along its edges"):
        checked_numbers(ndimage.gaussian_filter(100.0 * ball, 1).round(), ("lung",))


def regions(side: int, count: int) -> np.ndarray:
    """Cells that touch, numbered at random: each pixel has the number of the nearest point."""
    points = np.random.default_rng(1).integers(0, side, (count, 2))
    pixels = np.stack(np.mgrid[:side, :side], axis=-1)[:, :, np.newaxis]
    return ((pixels - points) ** 2).sum(axis=-1).argmin(axis=-1) + 1


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.where(np.arange(64) < 32, 1, 2) * (disc() > 0), id="left and right"),
        pytest.param(
            disc() // 2 + disc() // 255 * (ndimage.binary_erosion(disc(), iterations=3) * 128), id="disc, cup"
        ),
        pytest.param(ndimage.label(np.random.default_rng(0).random((100, 100)) < 0.2)[0], id="specks"),
        pytest.param(regions(100, 60), id="cells"),
        pytest.param(regions(64, 300), id="tiny cells"),
        pytest.param(np.arange(64)[:, np.newaxis] // 2 * np.ones((1, 64)), id="layers of two pixels"),
        pytest.param(np.arange(8)[:, np.newaxis, np.newaxis] // 2 * np.ones((1, 8, 8)), id="layers of a volume"),
    ],
)
def test_regions_with_numbers_of_their_own_are_one_label(values: np.ndarray) -> None:
    np.testing.assert_array_equal(checked_numbers(values, ("lung",)), values > 0)


def test_with_several_names_a_number_in_the_middle_is_a_label() -> None:
    values = np.array([[0, 1, 2, 3, 2, 1, 0]] * 3)
    np.testing.assert_array_equal(checked_numbers(values, ("a", "b", "c")), values)
