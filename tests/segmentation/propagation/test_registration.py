"""Registration moves masks as the images move, and knows where an organ ends."""

from __future__ import annotations

from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests.support.data import HIPPOCAMPUS, held_out
from xssr_strategy.segmentation.propagation import registration
from xssr_strategy.segmentation.propagation.propagate import propagate
from xssr_strategy.segmentation.propagation.registration import Registration, displacements, warped

rows, columns = np.mgrid[:64, :80].astype(np.float32)


def blob(row: float, column: float, radius: float = 11) -> NDArray[np.float32]:
    """A soft disc on a soft ground."""
    distance = np.hypot(rows - row, columns - column)
    found: NDArray[np.float32] = (0.2 + 0.1 * np.sin(rows / 9) + 0.6 / (1 + np.exp(distance - radius))).astype(
        np.float32
    )
    return found


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 0.5), (0.3, 0.3)])
def test_a_shift_is_found_along_rows_and_columns(spacing: tuple[float, float]) -> None:
    """Three rows down and five columns to the left."""
    fixed, moving = blob(35, 35), blob(32, 40)
    field = displacements(fixed, moving, spacing)
    mask = warped((np.hypot(rows - 32, columns - 40) < 11).astype(np.float32), field, spacing) >= 0.5
    assert dice(mask, np.hypot(rows - 35, columns - 35) < 11) > 0.96
    assert ndimage.center_of_mass(mask) == pytest.approx((35, 35), abs=0.5)


def test_values_are_those_of_scipy_at_the_displaced_points() -> None:
    spacing = (2.0, 0.5)
    field = displacements(blob(35, 35), blob(32, 40), spacing)
    values = np.random.default_rng(0).random(rows.shape).astype(np.float32)
    along_columns, along_rows = np.moveaxis(itk.array_from_image(field), 2, 0)  # ITK counts columns first
    points = np.stack([rows + along_rows / spacing[0], columns + along_columns / spacing[1]])
    inside = (points >= 0).all(axis=0) & (points[0] <= 63) & (points[1] <= 79)
    expected = ndimage.map_coordinates(values, points, order=1)
    np.testing.assert_allclose(warped(values, field, spacing)[inside], expected[inside], atol=1e-4)


def test_a_large_slice_is_registered_at_a_lower_resolution_and_moves_as_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "LARGEST", 32)
    fixed, moving = blob(35, 35), blob(32, 40)
    field = displacements(fixed, moving, (1.0, 1.0))
    assert itk.size(field)[0] == 80 // 3
    mask = warped((np.hypot(rows - 32, columns - 40) < 11).astype(np.float32), field, (1.0, 1.0)) >= 0.5
    assert ndimage.center_of_mass(mask) == pytest.approx((35, 35), abs=0.6)


def test_a_long_thin_slice_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 2048 x 4 pixels, the few are not averaged away."""
    monkeypatch.setattr(registration, "LARGEST", 16)
    thin = np.ascontiguousarray(np.repeat(blob(32, 40)[32:33], 4, axis=0))
    field = displacements(thin, np.roll(thin, 3, axis=1), (1.0, 1.0))
    assert warped(thin, field, (1.0, 1.0)).shape == (4, 80)


def test_two_labels_move_together_and_never_overlap() -> None:
    slices = np.stack([blob(32, 40 - 2 * number) for number in range(4)])
    disc = np.hypot(rows - 32, columns - 40) < 11
    masks = np.stack([disc & (columns < 40), disc & (columns >= 40)])
    for number, one in enumerate(Registration().follow(slices, masks, (1.0, 1.0)), start=1):
        assert one.found.all()
        assert one.maps.sum(axis=0).max() <= 1 + 1e-4
        for side, place in zip(one.maps, (columns < 40 - 2 * number, columns >= 40 - 2 * number), strict=True):
            assert dice(side >= 0.5, (np.hypot(rows - 32, columns - 40 + 2 * number) < 11) & place) > 0.9


def test_an_organ_that_ends_is_not_found_any_more() -> None:
    noise = np.random.default_rng(0).random((2, *rows.shape)).astype(np.float32)
    slices = np.stack([blob(32, 40), blob(32, 41), *ndimage.gaussian_filter(noise, (0, 3, 3))])
    masks = (np.hypot(rows - 32, columns - 40) < 11)[None]
    assert [bool(one.found[0]) for one in Registration().follow(slices, masks, (1.0, 1.0))] == [True, False, False]


def test_a_mask_that_is_empty_or_on_even_ground_is_not_found() -> None:
    even = np.full((3, *rows.shape), 0.5, np.float32)
    masks = np.stack([np.hypot(rows - 32, columns - 40) < 11, np.zeros(rows.shape, bool)])
    assert not any(one.found.any() for one in Registration().follow(even, masks, (1.0, 1.0)))
    nothing = list(Registration().follow(even, masks[1:], (1.0, 1.0)))
    assert len(nothing) == 2
    assert not any(one.maps.any() for one in nothing)


def pool_volumes(count: int) -> list[Path]:
    test = set(held_out(HIPPOCAMPUS))
    files = sorted((HIPPOCAMPUS / "images").iterdir())
    return [file for file in files if file.name.split(".")[0] not in test][:count]


def test_real_volumes_are_followed_better_than_by_copying_the_slice() -> None:
    """Five slices each way from the middle of the hippocampus; 30 points of Dice on the whole pool."""
    gains = []
    for file in pool_volumes(3):
        image = np.asarray(nib.load(file).dataobj, dtype=np.float32)
        truth = np.asarray(nib.load(HIPPOCAMPUS / "labels" / file.name).dataobj) > 0
        low, high = np.percentile(image, (0.5, 99.5))
        places = np.flatnonzero(truth.any(axis=(0, 1)))
        middle = int(places[len(places) // 2])
        given = np.zeros(truth.shape, np.uint8)
        given[..., middle] = truth[..., middle]
        grey = np.clip((image - low) / (high - low), 0, 1)
        found = propagate(grey, given, ("hippocampus",), (1.0, 1.0, 1.0), Registration()).mask > 0
        assert (found[..., middle] == truth[..., middle]).all()
        for place in (*range(middle - 5, middle), *range(middle + 1, middle + 6)):
            gains.append(dice(found[..., place], truth[..., place]) - dice(truth[..., middle], truth[..., place]))
    assert np.mean(gains) > 0.15
