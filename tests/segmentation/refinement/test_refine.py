"""Refinement of masks: what replaces a component, what stays, and that nothing appears where nothing was."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from xssr_strategy.segmentation.refinement.refine import LEAST_PIXELS, MARGIN, refine
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter

SIDES = (64, 48)


class Thresholds(BoxSegmenter):
    """Finds what is bright in the box, and remembers what it was asked."""

    name = "thresholds"

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[int, ...], list[list[int]]]] = []

    def segment(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        self.asked.append((picture.shape, boxes.tolist()))
        grey = picture if picture.ndim == 2 else picture.mean(axis=0)
        found = np.zeros((len(boxes), *grey.shape), np.float32)
        for one, (top, left, bottom, right) in zip(found, boxes, strict=True):
            one[top:bottom, left:right] = grey[top:bottom, left:right]
        return found


def disc(centre: tuple[int, int], radius: float, sides: tuple[int, int] = SIDES) -> np.ndarray:
    rows, columns = np.ogrid[: sides[0], : sides[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_a_coarse_mask_becomes_what_is_found_in_its_box() -> None:
    truth = disc((30, 20), 11)
    coarse = disc((32, 21), 9).astype(np.uint8)
    asked = Thresholds()
    found = refine(0.9 * truth[None].astype(np.float32), coarse, asked)
    assert dice(coarse > 0, truth) < 0.9
    np.testing.assert_array_equal(found.mask, truth)
    assert (found.refined, found.kept) == (1, 0)
    rows, columns = ndimage.find_objects(coarse)[0]
    box = [rows.start - MARGIN, columns.start - MARGIN, rows.stop + MARGIN, columns.stop + MARGIN]
    assert asked.asked == [(SIDES, [box])]


def test_what_differs_too_much_and_what_is_small_stays() -> None:
    truth = disc((30, 20), 11)
    elsewhere = disc((30, 32), 7).astype(np.uint8)  # overlaps with what is found by less than a half
    elsewhere[60, 3:6] = 1  # a speck
    assert (elsewhere[60] > 0).sum() < LEAST_PIXELS
    found = refine(0.9 * truth[None].astype(np.float32), elsewhere, Thresholds())
    np.testing.assert_array_equal(found.mask, elsewhere)
    assert (found.refined, found.kept) == (0, 2)


def test_labels_never_overlap_and_the_more_probable_one_has_a_pixel() -> None:
    left, right = disc((30, 16), 10), disc((30, 32), 10)
    coarse = np.zeros(SIDES, np.uint8)
    coarse[disc((30, 15), 8)], coarse[disc((30, 33), 8)] = 1, 2
    assert (left & right).any()

    class Both(Thresholds):
        """Sees the right disc by 0.9; the left one by 0.7, but where the right one ends."""

        def segment(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            return np.stack([0.7 * left, 0.9 * right]).astype(np.float32)

    found = refine(np.zeros((1, *SIDES), np.float32), coarse, Both())
    np.testing.assert_array_equal(found.mask == 2, right)
    np.testing.assert_array_equal(found.mask == 1, left & ~right)


def test_a_component_that_stays_gives_no_pixel_away() -> None:
    left, right = disc((30, 16), 10), disc((30, 32), 10)
    coarse = np.zeros(SIDES, np.uint8)
    coarse[left], coarse[right & ~left] = 1, 2

    class OnlyTheRight(Thresholds):
        """Takes the right disc with a part of the left one, which it does not see at all."""

        def segment(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            return np.stack([0.0 * left, 0.9 * (right | disc((30, 22), 6))]).astype(np.float32)

    found = refine(np.zeros((1, *SIDES), np.float32), coarse, OnlyTheRight())
    np.testing.assert_array_equal(found.mask == 1, left)
    assert (found.refined, found.kept) == (1, 1)


def test_a_label_that_another_one_would_swallow_stays() -> None:
    """What is found in a ring's box is the whole disc: it overlaps with the ring enough, and would leave nothing."""
    outer, inner = disc((30, 24), 14), disc((30, 24), 8)
    coarse = np.where(inner, 2, outer).astype(np.uint8)

    class Whole(Thresholds):
        def segment(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            return np.stack([np.where(outer, 0.95, 0.0), np.where(inner, 0.9, 0.0)]).astype(np.float32)

    found = refine(np.zeros((1, *SIDES), np.float32), coarse, Whole())
    np.testing.assert_array_equal(found.mask, coarse)
    assert (found.refined, found.kept) == (1, 1)


def test_where_the_coarse_mask_is_empty_nobody_is_asked() -> None:
    asked = Thresholds()
    found = refine(np.ones((1, *SIDES), np.float32), np.zeros(SIDES, np.uint8), asked)
    assert asked.asked == []
    assert not found.mask.any()


@pytest.mark.parametrize(("spacing", "axis"), [((1.0, 1.0, 3.0), 2), ((1.0, 4.0, 3.0), 1), ((1.0, 1.0, 1.0), 2)])
def test_slices_of_a_volume_lie_across_its_widest_spacing(spacing: tuple[float, ...], axis: int) -> None:
    truth = np.zeros((40, 36, 32), dtype=bool)
    truth[8:30, 10:28, 6:24] = True
    coarse = truth.astype(np.uint8)
    coarse[8:11] = 0
    coarse = np.where(truth, coarse, 0).astype(np.uint8)
    asked = Thresholds()
    found = refine(truth[None].astype(np.float32), coarse, asked, spacing)
    sides = tuple(side for place, side in enumerate(truth.shape) if place != axis)
    assert {shape for shape, _ in asked.asked} == {sides}
    assert len(asked.asked) == truth.any(axis=tuple({0, 1, 2} - {axis})).sum()
    np.testing.assert_array_equal(found.mask > 0, truth)
    assert found.mask.shape == coarse.shape


def test_colour_pictures_are_shown_as_such() -> None:
    truth = disc((30, 20), 11)
    image = np.repeat(0.9 * truth[None], 3, axis=0).astype(np.float32)
    asked = Thresholds()
    found = refine(image, disc((31, 20), 10).astype(np.uint8), asked)
    assert asked.asked[0][0] == (3, *SIDES)
    np.testing.assert_array_equal(found.mask, truth)
