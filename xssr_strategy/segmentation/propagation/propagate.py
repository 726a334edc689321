"""The mask of a volume from the slices of it that somebody drew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.propagation.engine import PropagationEngine

LEAST_AREA = 0.1  # of the drawn mask; a smaller one counts as the end of the organ (our choice)
TRUSTED, CONTRADICTED = 0.7, 0.3  # Dice with an expected mask: on drawn slices, and where it says stop (our choice)
_MEET = 0.3  # Dice below which two drawings do not belong to one course of a label (our choice)


@dataclass(frozen=True)
class Propagation:
    """What came of it.

    Attributes:
        mask: uint8 (X, Y, Z) label numbers; the drawn slices are as they were drawn.
        axis: across which the slices lie.
        drawn: their places along it.
        notes: what people should know, a sentence each.
    """

    mask: NDArray[np.uint8]
    axis: int
    drawn: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def filled(self) -> int:
        """On how many slices a label was found beside the drawn ones."""
        others = tuple({0, 1, 2} - {self.axis})
        return int(self.mask.any(axis=others).sum()) - len(self.drawn)


def propagate(
    image: NDArray[np.float32],
    drawn: NDArray[np.uint8],
    labels: Sequence[str],
    spacing: Sequence[float],
    engine: PropagationEngine,
    expected: NDArray[np.uint8] | None = None,
    axis: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Propagation:
    """Fill the slices that nobody drew.

    A drawn slice is taken as whole: a label that it lacks is not there. Between two drawn slices the masks that come
    from both count, the nearer one more. Beyond the outermost one, or where the next drawn slice lacks the label, a
    label ends where the engine does not recognise it any more, where less than a tenth of its drawn area is left, or
    where the expected mask contradicts.

    Args:
        image: (X, Y, Z) in [0, 1].
        drawn: (X, Y, Z) label numbers, 0 on the slices that nobody drew.
        labels: names of the numbers from 1.
        spacing: of the three axes, in mm.
        engine: what follows the masks from slice to slice.
        expected: (X, Y, Z) label numbers by a network; heeded for labels that it segments on the drawn slices as
            they are drawn.
        axis: across which the slices are drawn; by default that of :func:`drawn_axis`.
        progress: called with (slices done, slices in all).

    Raises:
        UserError: nothing is drawn, or nothing is left to fill.
    """
    likely = drawn_axis(drawn, spacing)
    counts = [len(places) for places in _drawn_places(drawn)]
    axis = likely if axis is None else axis
    slices, given = np.moveaxis(image, axis, 0), np.moveaxis(drawn, axis, 0)
    places = [int(place) for place in np.flatnonzero(given.any(axis=(1, 2)))]
    if len(places) == len(given):
        raise UserError("every slice is drawn already: there is nothing to propagate to")
    trusted = _Expected(None if expected is None else np.moveaxis(expected, axis, 0), given, places, len(labels))
    followed = _Followed(slices, given, len(labels), [step for at, step in enumerate(spacing) if at != axis], engine)
    mask, notes = given.copy(), []
    if sorted(counts)[1] <= 2 * min(counts):
        notes.append(
            "nearly as many slices hold a label across another axis: see that the drawn ones were recognised, or name "
            "their axis"
        )
    done = len(places)
    for first, last in zip([None, *places], [*places, None], strict=True):
        for place, maps in followed.stretch(first, last, trusted):
            mask[place] = _numbers(maps)
            done += 1
            progress(done, len(given))
        notes += [
            f"the drawings of {labels[number - 1]} on slices {first} and {last} do not meet: look between them"
            for number in followed.apart
        ]
    return Propagation(np.moveaxis(mask, 0, axis), axis, tuple(places), tuple(notes))


def drawn_axis(drawn: NDArray[np.uint8], spacing: Sequence[float]) -> int:
    """The axis across which the fewest slices hold a label.

    Of axes with at most twice as many, one with undrawn slices between drawn ones comes first, as a small organ may be
    drawn on more slices than it is wide. Of equals the axis with the widest spacing counts, then the last.

    Raises:
        UserError: nothing is drawn.

    >>> drawn = np.zeros((8, 8, 8), np.uint8)
    >>> drawn[2:6, 3, 2:6] = 1  # on a coronal slice
    >>> drawn_axis(drawn, (1.0, 1.0, 3.0))
    1
    """
    if not drawn.any():
        raise UserError("nothing is drawn: draw the label on one slice at least")
    places = _drawn_places(drawn)
    counts = [len(found) for found in places]
    likely = [axis for axis in range(3) if counts[axis] <= 2 * min(counts)]
    no_gaps = [counts[axis] == places[axis][-1] - places[axis][0] + 1 for axis in range(3)]
    return min(likely, key=lambda axis: (no_gaps[axis] and counts[axis] > 1, counts[axis], -spacing[axis], -axis))


def _drawn_places(drawn: NDArray[np.uint8]) -> list[NDArray[np.intp]]:
    """Of each axis, the places of the slices that hold a label."""
    return [np.flatnonzero(drawn.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]


class _Followed:
    """Follows drawn slices.

    Args:
        slices: (slices, rows, columns) in [0, 1].
        given: the same shape, label numbers.
        labels: how many.
        spacing: of rows and columns, in mm.
        engine: what follows.

    Attributes:
        apart: numbers of the labels that do not come from one drawn slice of the last stretch to the other.
    """

    def __init__(
        self,
        slices: NDArray[np.float32],
        given: NDArray[np.uint8],
        labels: int,
        spacing: Sequence[float],
        engine: PropagationEngine,
    ) -> None:
        self._slices, self._given, self._labels = slices, given, labels
        self._spacing, self._engine = spacing, engine
        self.apart: list[int] = []

    def stretch(
        self, first: int | None, last: int | None, expected: _Expected
    ) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """Yield (place, maps (labels, rows, columns)) of the slices between two drawn ones, or beyond one."""
        self.apart = []
        if first is None or last is None:
            yield from self._open(first, last, expected)
            return
        if last - first == 1:
            return
        ends = [self._maps(place) for place in (first, last)]
        goes_on = ends[0].any(axis=(1, 2)) & ends[1].any(axis=(1, 2))
        ahead: dict[int, _Packed] = {}  # small: a far slice may be hundreds away
        for place, maps in self._from(first, range(first + 1, last + 1), expected, goes_on):
            ahead[place] = _Packed(maps)
        if arrived := ahead.pop(last, None):
            came = arrived.maps() >= 0.5
            apart = [
                bool(goes) and _dice(one, end) < _MEET for goes, one, end in zip(goes_on, came, ends[1], strict=True)
            ]
            self.apart = [number for number, far in enumerate(apart, start=1) if far]
        nothing = np.zeros(ends[0].shape, dtype=np.float32)
        back = self._from(last, range(last - 1, first, -1), expected, goes_on)
        for place in range(last - 1, first, -1):
            share = (place - first) / (last - first)
            _, behind = next(back, (place, nothing))
            before = ahead[place].maps() if place in ahead else nothing
            yield place, share * behind + (1 - share) * before

    def _open(
        self, first: int | None, last: int | None, expected: _Expected
    ) -> Iterator[tuple[int, NDArray[np.floating]]]:
        if first is None and last is not None:
            yield from self._from(last, range(last - 1, -1, -1), expected)
        elif first is not None:
            yield from self._from(first, range(first + 1, len(self._slices)), expected)

    def _from(
        self, place: int, places: range, expected: _Expected, goes_on: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """Follow the slice at ``place``; a label that stopped stays away, unless it is known to go on."""
        masks = self._maps(place)
        areas, here = masks.sum(axis=(1, 2)), masks.any(axis=(1, 2))
        if not places or not here.any():
            return
        low, high = min(place, places[-1]), max(place, places[-1])
        seen = self._slices[low : high + 1]
        seen = seen if place == low else seen[::-1]
        followed = self._engine.follow(seen, masks, self._spacing)
        for at, (maps, found) in zip(places, followed, strict=False):
            sharp = maps >= 0.5
            stays = found & (sharp.sum(axis=(1, 2)) >= LEAST_AREA * areas) & ~expected.contradicts(at, sharp)
            here = here & (stays if goes_on is None else stays | goes_on)
            if not here.any():
                return
            yield at, maps * here[:, None, None]

    def _maps(self, place: int) -> NDArray[np.bool_]:
        """(labels, rows, columns) as drawn."""
        numbers = np.arange(1, self._labels + 1, dtype=np.uint8)
        maps: NDArray[np.bool_] = self._given[place] == numbers[:, None, None]
        return maps


class _Packed:
    """Maps (labels, rows, columns) of probabilities as bytes, and only where there are any."""

    def __init__(self, maps: NDArray[np.float32]) -> None:
        self._shape = maps.shape
        whole = np.round(255 * maps).astype(np.uint8)
        found = ndimage.find_objects(whole.any(axis=0).astype(np.uint8))
        self._box = (slice(None), *(found[0] if found else (slice(0), slice(0))))
        self._bytes = whole[self._box].copy()

    def maps(self) -> NDArray[np.float32]:
        """As they were, to 1/255."""
        maps = np.zeros(self._shape, dtype=np.float32)
        maps[self._box] = self._bytes / np.float32(255)
        return maps


class _Expected:
    """What a network makes of the volume, for those labels on which it agrees with the people who draw.

    Args:
        mask: (slices, rows, columns) label numbers, or None.
        given: the same shape, as drawn.
        places: of the drawn slices.
        labels: how many.
    """

    def __init__(
        self, mask: NDArray[np.uint8] | None, given: NDArray[np.uint8], places: Sequence[int], labels: int
    ) -> None:
        self._mask = mask
        self._numbers = range(1, labels + 1)
        self._trusted = np.zeros(labels, dtype=bool)
        if mask is not None:
            agree = [_dice(mask[places] == number, given[places] == number) for number in self._numbers]
            self._trusted = np.array(agree) >= TRUSTED

    def contradicts(self, place: int, maps: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool (labels,): whether it finds something else on a slice than ``maps`` (labels, rows, columns)."""
        if self._mask is None or not self._trusted.any():
            return np.zeros(len(maps), dtype=bool)
        agree = [_dice(self._mask[place] == number, one) for number, one in zip(self._numbers, maps, strict=True)]
        contradicted: NDArray[np.bool_] = self._trusted & (np.array(agree) < CONTRADICTED)
        return contradicted


def _numbers(maps: NDArray[np.floating]) -> NDArray[np.uint8]:
    """uint8 (rows, columns): the likeliest of the labels and the background, so that no two labels overlap."""
    background = 1 - maps.sum(axis=0, keepdims=True)
    numbers: NDArray[np.uint8] = np.concatenate([background, maps]).argmax(axis=0).astype(np.uint8)
    return numbers


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Of two masks; 1 where both are empty."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0
