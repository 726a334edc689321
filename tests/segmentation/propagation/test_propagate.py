"""Which slices are filled, by whose masks, and where a label ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.propagation.engine import FollowedSlice, PropagationEngine
from xssr_strategy.segmentation.propagation.propagate import Propagation, drawn_axis, propagate

ROWS, COLUMNS = np.ogrid[:20, :24]


class Copying(PropagationEngine):
    """Every slice as the drawn one, smaller by a share each time; recognised for so many slices."""

    name = "copying"

    def __init__(self, found: int = 1000, shrinking: float = 0.0) -> None:
        self._found, self._shrinking = found, shrinking

    def follow(
        self, slices: NDArray[np.float32], masks: NDArray[np.bool_], spacing: Sequence[float]
    ) -> Iterator[FollowedSlice]:
        maps = masks.astype(np.float32)
        for number in range(1, len(slices)):
            columns = round(maps.shape[2] * self._shrinking * number)
            seen = maps.copy()
            seen[:, :, :columns] = 0
            yield FollowedSlice(seen, np.full(len(maps), number <= self._found))


def disc(radius: float, row: float = 10, column: float = 12) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2
    return found


def drawn(slices: dict[int, NDArray[np.uint8]], count: int = 11) -> NDArray[np.uint8]:
    """(rows, columns, slices) of label numbers."""
    volume = np.zeros((20, 24, count), np.uint8)
    for place, mask in slices.items():
        volume[..., place] = mask
    return volume


def run(
    given: NDArray[np.uint8],
    labels: Sequence[str] = ("liver",),
    engine: PropagationEngine | None = None,
    expected: NDArray[np.uint8] | None = None,
) -> Propagation:
    return propagate(np.zeros(given.shape, np.float32), given, labels, (1.0, 1.0, 2.0), engine or Copying(), expected)


def test_one_slice_fills_the_volume_both_ways_and_stays_as_it_is() -> None:
    mask = disc(5).astype(np.uint8)
    found = run(drawn({4: mask}))
    assert found.drawn == (4,)
    assert found.axis == 2
    assert (found.mask == mask[..., None]).all()
    assert found.notes == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slices_may_lie_across_any_axis(axis: int) -> None:
    given = np.moveaxis(drawn({4: disc(5).astype(np.uint8)}), 2, axis)
    found = run(given)
    assert found.axis == axis
    assert (np.moveaxis(found.mask, axis, 2) == disc(5)[..., None]).all()


def test_of_axes_that_hold_a_label_on_equally_many_slices_the_widest_spacing_counts() -> None:
    given = np.zeros((9, 9, 9), np.uint8)
    given[4, 4, 4] = 1
    assert drawn_axis(given, (1.0, 3.0, 2.0)) == 1
    assert drawn_axis(given, (1.0, 1.0, 1.0)) == 2


def test_a_small_organ_drawn_on_more_slices_than_it_is_wide_and_two_organs_on_a_few() -> None:
    lesion = np.zeros((20, 20, 20), np.uint8)
    lesion[8:12, 8:12, 4:14:2] = 1  # five slices across the last axis, of an organ of four by four
    assert drawn_axis(lesion, (1.0, 1.0, 1.0)) == 2
    kidneys = np.zeros((20, 20, 20), np.uint8)
    kidneys[2:7, 5:15, 9:12] = kidneys[13:18, 5:15, 9:12] = 1
    assert drawn_axis(kidneys, (1.0, 1.0, 1.0)) == 2


def test_where_the_drawn_axis_is_in_doubt_people_are_told_and_may_say() -> None:
    cross = np.zeros((20, 20, 20), np.uint8)
    cross[6:14, 6:14, 9] = cross[6:14, 9, 6:14] = 1  # a transverse and a coronal drawing
    spacing, grey = (1.0, 1.0, 1.0), np.zeros((20, 20, 20), np.float32)
    found = propagate(grey, cross, ("liver",), spacing, Copying())
    assert any(note.startswith("nearly as many slices hold a label across another axis") for note in found.notes)
    assert propagate(grey, cross, ("liver",), spacing, Copying(), axis=1).axis == 1


def test_between_two_drawn_slices_the_nearer_one_counts_more() -> None:
    small, large = disc(4).astype(np.uint8), disc(8).astype(np.uint8)
    found = run(drawn({2: small, 8: large})).mask
    for place, mask in enumerate([small] * 6 + [large] * 5):
        assert (found[..., place] == mask).all(), place


def test_between_drawn_slices_a_label_never_ends() -> None:
    mask = disc(5).astype(np.uint8)
    found = run(drawn({2: mask, 8: mask}), engine=Copying(found=1)).mask
    assert [bool(found[..., place].any()) for place in range(11)] == [place in range(1, 10) for place in range(11)]


def test_what_a_drawn_slice_lacks_is_not_there() -> None:
    """Half-way to it a label ends, and beyond it does not come again."""
    liver, spleen = disc(3, column=6), disc(3, column=18)
    found = run(drawn({2: 1 * liver, 8: 2 * spleen}), ("liver", "spleen")).mask
    assert [set(np.unique(found[..., place]).tolist()) - {0} for place in range(11)] == [{1}] * 5 + [set()] + [{2}] * 5


def test_a_label_ends_where_the_engine_does_not_know_it_any_more() -> None:
    found = run(drawn({5: disc(5).astype(np.uint8)}), engine=Copying(found=2)).mask
    assert found.any(axis=(0, 1)).tolist() == [place in range(3, 8) for place in range(11)]


def test_a_label_ends_where_a_tenth_of_it_is_left() -> None:
    square = np.zeros((20, 24), np.uint8)
    square[:, :20] = 1  # 20 columns, of which 2.4 go with each slice
    found = run(drawn({0: square}), engine=Copying(shrinking=0.1)).mask
    assert found.any(axis=(0, 1)).tolist() == [True] * 8 + [False] * 3  # three columns are left, then one


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_network_says_where_a_label_ends_if_it_agrees_with_what_was_drawn(is_trusted: bool) -> None:
    mask = disc(5).astype(np.uint8)
    expected = drawn(dict.fromkeys(range(3, 8), mask if is_trusted else disc(2, 3, 3).astype(np.uint8)))
    found = run(drawn({5: mask}), expected=expected).mask
    ends = range(3, 8) if is_trusted else range(11)
    assert found.any(axis=(0, 1)).tolist() == [place in ends for place in range(11)]


def test_one_label_ends_and_the_other_goes_on() -> None:
    class First(Copying):
        def follow(self, slices: NDArray, masks: NDArray, spacing: Sequence[float]) -> Iterator[FollowedSlice]:
            for one in super().follow(slices, masks, spacing):
                yield one._replace(found=np.array([True, False]))

    given = drawn({5: disc(3, column=6) + 2 * disc(3, column=18)}.copy())
    found = run(given, ("liver", "spleen"), First()).mask
    assert np.unique(found[..., 5]).tolist() == [0, 1, 2]
    assert all(np.unique(found[..., place]).tolist() == [0, 1] for place in range(11) if place != 5)


def test_a_label_stays_away_once_it_has_ended() -> None:
    class Blinking(Copying):
        def follow(self, slices: NDArray, masks: NDArray, spacing: Sequence[float]) -> Iterator[FollowedSlice]:
            for number, one in enumerate(super().follow(slices, masks, spacing)):
                yield one._replace(found=np.array([number != 1, True]))

    found = run(drawn({0: disc(3, column=6) + 2 * disc(3, column=18)}), ("liver", "spleen"), Blinking()).mask
    assert (found == 1).any(axis=(0, 1)).tolist() == [True, True] + [False] * 9


def test_drawings_that_do_not_belong_together_are_told() -> None:
    given = drawn({2: disc(3, column=5).astype(np.uint8), 8: disc(3, column=18).astype(np.uint8)})
    assert run(given).notes == ("the drawings of liver on slices 2 and 8 do not meet: look between them",)
    assert (run(given).mask[..., [2, 8]] == given[..., [2, 8]]).all()


def test_neighbours_do_not_leave_a_gap() -> None:
    """Where two labels share a voxel equally, and the background less, it belongs to one of them."""

    class Soft(Copying):
        def follow(self, slices: NDArray, masks: NDArray, spacing: Sequence[float]) -> Iterator[FollowedSlice]:
            for one in super().follow(slices, masks, spacing):
                maps = one.maps.copy()
                maps[0, :, 12], maps[1, :, 12] = 0.45, 0.4
                yield one._replace(maps=maps)

    half = np.where(COLUMNS + 0 * ROWS < 12, 1, 2).astype(np.uint8)
    found = run(drawn({0: half}), ("liver", "spleen"), Soft()).mask
    assert (found[:, 12, 1:] == 1).all()
    assert (found > 0).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (drawn({}), "nothing is drawn"),
        (drawn(dict.fromkeys(range(11), disc(5).astype(np.uint8))), "every slice is drawn already"),
    ],
)
def test_what_cannot_be_propagated_has_a_sentence(given: NDArray[np.uint8], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        run(given)


def test_progress_counts_slices() -> None:
    seen: list[tuple[int, int]] = []
    given = drawn({3: disc(5).astype(np.uint8), 8: disc(5).astype(np.uint8)})
    spacing = (1.0, 1.0, 2.0)
    grey = np.zeros(given.shape, np.float32)
    propagate(grey, given, ("liver",), spacing, Copying(), progress=lambda *now: seen.append(now))
    assert seen == [(done, 11) for done in range(3, 12)]
