"""Facility location: picks to which the pool is near on average (k-median greedy).

With d the Euclidean distance, d_max an upper bound on it and S the picks and labelled images, it maximises

    f(S) = sum_i max_{s in S} (d_max - d(i, s))

by picking the image with the largest gain, that which lowers the summed distance to the nearest pick most. f is
monotone and submodular, so these picks reach at least 1 - 1/e of the best f (Nemhauser, Wolsey and Fisher 1978).
Gains only shrink, so the last gain known of an image bounds its gain now, and few gains are renewed per pick (lazy
greedy, Minoux 1978); the picks are those of the plain greedy rule.
"""

from __future__ import annotations

import heapq

import numpy as np

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.points import TIE, Points

_BLOCK = 1 << 20  # distances computed at once at the start (8 MB)
_TOGETHER = 8  # gains renewed at once
_ROOM = 1 << 24  # distances kept at most (200 MB)
_CANCELLED = 1e-2  # share of two squared lengths below which differences replace the product; see _Gains


class _Gains:
    """How much each image would lower the summed distance to the nearest pick.

    All in float64: a distance by a matrix product is right to 12 digits where no more than two cancel, and where more
    would, differences are summed. An image gains from those alone that it is nearer to than their nearest pick, its
    reach. A reach only shrinks, so it is kept with its distances, as far as there is room.

    Args:
        points: the pool.
        labeled: places that count as picked from the start.

    Attributes:
        nearest: (N,) distances, in units, to the nearest pick.
    """

    def __init__(self, points: Points, labeled: IntArray) -> None:
        self._vectors = np.ascontiguousarray(points.rows(slice(None)))
        self._vectors -= self._vectors.mean(axis=0)
        self._squares = np.einsum("nd,nd->n", self._vectors, self._vectors)
        self._reach: dict[int, tuple[IntArray, FloatArray]] = {}
        self._room = _ROOM
        self.step = max(1, _BLOCK // points.size)
        # Until there is a pick, everything is as far as the triangle inequality allows.
        self.nearest: FloatArray = np.full(points.size, 2.0 * np.sqrt(self._squares.max()))
        for begin in range(0, len(labeled), self.step):
            np.minimum(self.nearest, self.distances(labeled[begin : begin + self.step]).min(axis=0), out=self.nearest)

    def distances(self, places: IntArray) -> FloatArray:
        """(P, N) from the points at these places (P,) to all."""
        squared = self._vectors[places] @ self._vectors.T
        squared *= -2.0
        squared += self._squares
        squared += self._squares[places][:, None]
        for row, place in zip(squared, places, strict=True):
            unsure = np.flatnonzero(row <= _CANCELLED * (self._squares + self._squares[place]))
            difference = self._vectors[unsure] - self._vectors[place]
            row[unsure] = np.einsum("ud,ud->u", difference, difference)
        return np.sqrt(squared, out=squared)

    def of(self, places: IntArray) -> FloatArray:
        """(P,) gains of the points at these places."""
        new = [place for place in places.tolist() if place not in self._reach]
        rows = dict(zip(new, self.distances(np.array(new)), strict=True)) if new else {}
        return np.array([self._gain(place, rows.get(place)) for place in places.tolist()])

    def add(self, place: int) -> None:
        """One more pick."""
        if place in self._reach:
            reach, distances = self._reach.pop(place)
            self._room += len(reach)
            self.nearest[reach] = np.minimum(self.nearest[reach], distances)
        else:
            np.minimum(self.nearest, self.distances(np.array([place]))[0], out=self.nearest)

    def _gain(self, place: int, row: FloatArray | None) -> float:
        """Gain of a point, from all its distances if they are not kept; what is left of its reach is kept."""
        if row is None:
            reach, distances = self._reach.pop(place)
            self._room += len(reach)
            left = distances < self.nearest[reach]
            reach, distances = reach[left], distances[left]
        else:
            reach = np.flatnonzero(row < self.nearest).astype(np.int32)
            distances = row[reach]
        if len(reach) <= self._room:
            self._reach[place] = reach, distances
            self._room -= len(reach)
        return float((self.nearest[reach] - distances).sum())


def facility_location(points: Points, budget: int, labeled: IntArray) -> Picks:
    """Pick again and again the point that lowers the summed distance of all to their nearest pick most.

    The score of a pick is its gain divided by N: by how much it lowers the mean distance. With nothing labelled the
    first pick is the point with the smallest summed distance; its score is d_max minus its mean distance, with d_max
    twice the largest distance to the mean. Ties go to the first point in canonical order: gains that differ by less
    than 1e-12 of the summed distance, which is more than float64 rounding can make of equal ones.
    """
    gains = _Gains(points, labeled)
    candidates = np.setdiff1d(np.arange(points.size), labeled)
    indices: list[int] = []
    scores: list[float] = []

    def pick(place: int, gain: float) -> None:
        indices.append(place)
        scores.append(gain / points.size * points.unit)
        gains.add(place)

    if not len(labeled):
        total = np.concatenate([gains.distances(block).sum(axis=1) for block in _blocks(candidates, gains.step)])
        bound = gains.nearest.sum()
        first = int(np.argmax(total <= total.min() + TIE * bound))
        pick(first, bound - total[first])
        candidates = np.delete(candidates, first)
    queue = [
        (-gain, place)
        for block in _blocks(candidates, gains.step)
        for gain, place in zip(gains.of(block).tolist(), block.tolist(), strict=True)
    ]
    heapq.heapify(queue)
    while len(indices) < budget:
        tie = TIE * gains.nearest.sum()
        best = -np.inf
        renewed: list[tuple[float, int]] = []
        while queue and -queue[0][0] >= best - tie:
            places = [heapq.heappop(queue)[1] for _ in range(min(_TOGETHER, len(queue)))]
            renewed += zip(gains.of(np.array(places)).tolist(), places, strict=True)
            best = max(renewed)[0]
        gain, place = min((entry for entry in renewed if entry[0] >= best - tie), key=lambda entry: entry[1])
        renewed.remove((gain, place))
        for other, rest in renewed:
            heapq.heappush(queue, (-other, rest))
        pick(place, gain)
    return Picks(np.array(indices), np.array(scores), distances=gains.nearest * points.unit)


def _blocks(places: IntArray, step: int) -> list[IntArray]:
    return [places[begin : begin + step] for begin in range(0, len(places), step)]


class FacilityLocation(Selector):
    """Each pick lowers the mean distance of the pool to its nearest pick most. Time grows with N squared.

    >>> from xssr_strategy.selection import FacilityLocation
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]  # two groups of three and an outlier
    >>> selection = FacilityLocation().select(pool, budget=3)
    >>> selection.indices.tolist()
    [3, 1, 6]
    >>> selection.scores[1:].round(2).tolist()  # by how much each lowered the mean distance to the nearest pick
    [3.57, 2.86]
    >>> round(selection.mean_coverage, 2)
    0.71
    """

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        return facility_location(points, budget, labeled)
