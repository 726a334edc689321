"""CoreSet: k-centre greedy (Sener and Savarese 2018, arXiv 1708.00489)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.nearest import NearestPick
from xssr_strategy.selection.points import TIE, Points

_FRONT = 384  # points kept up to date pick by pick


def k_centre_greedy(points: Points, budget: int, labeled: IntArray) -> Picks:
    """Pick again and again the point that is farthest from all picks.

    A 2-approximation of the smallest covering radius. The picks are those of the plain loop, with ``x`` (N, D) and
    ``picks`` that begin with the labelled points::

        while len(picks) < len(labeled) + budget:
            nearest = np.linalg.norm(x[:, None] - x[picks], axis=2).min(axis=1)
            picks.append(int(nearest.argmax()))

    With nothing labelled, the first pick is the point nearest to the mean (our choice; the paper starts from labelled
    images) with score 0. The score of every other pick is its distance to the nearest pick before it. Ties go to the
    first point in canonical order.

    Distances to picks only shrink. So the next pick is among the points that are farthest now, for as long as one of
    them stays farther than all the others were. These few are kept up to date; all others catch up with many picks in
    one matrix product.
    """
    greedy = _Greedy(points, labeled)
    if not len(labeled):
        greedy.pick(_central(points), 0.0)
    while len(greedy.indices) < budget:
        greedy.pick_from_front(budget)
    return greedy.picks()


class _Greedy:
    """The picks so far, and the distances of all points to them as far as they are known.

    Args:
        points: the pool.
        labeled: places that count as picked.
    """

    def __init__(self, points: Points, labeled: IntArray) -> None:
        self._points = points
        self._nearest = NearestPick(points, 1, labeled)
        self._tolerance = np.float32(4.0 * points.rounding * points.largest)
        self._closed = np.zeros(points.size, dtype=bool)
        self._closed[labeled] = True
        self.indices: list[int] = []
        self._squares: list[float] = []
        self._known = 0  # picks that ``nearest`` knows of

    def pick(self, place: int, squared: float) -> None:
        """One more pick, at this squared distance from those before it."""
        self.indices.append(place)
        self._squares.append(squared)
        self._closed[place] = True

    def pick_from_front(self, budget: int) -> None:
        """Pick among the farthest points, until ``budget`` is reached or another point may be farther."""
        self._catch_up()
        self._nearest.catch_up()
        everyone = np.square(self._points.backend.numpy(self._nearest.distance[0]))
        front = _Front(self._points, everyone, self._closed)
        begin = len(self.indices)
        while len(self.indices) < budget:
            position = int(front.squared.argmax())
            place, top = int(front.places[position]), front.squared[position]
            if top - self._tolerance > front.others:
                rivals = front.places[front.squared >= top - self._tolerance]
            elif len(self.indices) == begin:
                rivals = np.flatnonzero(everyone >= top - self._tolerance)
            else:
                return
            if len(rivals) > 1:
                place, top = self._farthest(rivals)
            self.pick(place, float(top))
            front.take(place)

    def picks(self) -> Picks:
        """The picks with their scores and the distances of all points."""
        self._catch_up()
        self._nearest.catch_up()
        scores = np.sqrt(np.maximum(np.array(self._squares, dtype=np.float64), 0.0)) * self._points.unit
        return Picks(np.array(self.indices), scores, distances=self._nearest.distances(0))

    def _farthest(self, rivals: IntArray) -> tuple[int, float]:
        """Of points that rounding cannot tell apart, the farthest by exact distance, and that squared."""
        rivals = rivals[~self._closed[rivals]]
        self._catch_up()
        distance = self._nearest.exact(0, rivals)
        rivals = rivals[distance >= distance.max() * (1.0 - TIE)]
        return int(rivals[0]), distance.max() ** 2

    def _catch_up(self) -> None:
        self._nearest.add(np.array([self.indices[self._known :]], dtype=np.intp))
        self._known = len(self.indices)


class _Front:
    """The points farthest from the picks, kept up to date pick by pick; in memory.

    Args:
        points: the pool.
        squared: (N,) squared distances to the nearest pick.
        closed: (N,) which points are not free.

    Attributes:
        places: (F,) ascending.
        squared: (F,) float32 squared distances to the nearest pick, as rounding left them; -inf if not free.
        others: no point elsewhere is farther than this, squared.
    """

    def __init__(self, points: Points, squared: NDArray[np.float32], closed: NDArray[np.bool_]) -> None:
        self._points = points
        self.places = np.arange(points.size)
        if points.size > _FRONT:
            self.places = np.sort(np.argpartition(squared, -_FRONT)[-_FRONT:])
        self.squared = squared[self.places]
        self.others = float(self.squared.min()) if points.size > _FRONT else -np.inf
        self.squared[closed[self.places]] = -np.inf
        coordinates, squares = points.coordinates[self.places], points.squares[self.places]
        self._factors, self._squares = points.backend.numpy(-2.0 * coordinates), points.backend.numpy(squares)

    def take(self, place: int) -> None:
        """One more pick."""
        points = self._points
        row = self._factors @ points.backend.numpy(points.coordinates[place])
        row += self._squares
        row += points.backend.numpy(points.squares[place])
        np.minimum(self.squared, row, out=self.squared)
        position = int(self.places.searchsorted(place))
        if position < len(self.places) and self.places[position] == place:
            self.squared[position] = -np.inf


def _central(points: Points) -> int:
    """The point nearest to the mean of all."""
    # The coordinates may start from a rounded mean.
    shift = float(np.linalg.norm(points.mean - points.centre)) / points.unit
    length = np.sqrt(points.backend.numpy(points.squares).astype(np.float64))
    rivals = np.flatnonzero(length <= length.min() * (1.0 + 4.0 * points.rounding) + 2.0 * shift + 1e-30)
    distance = np.linalg.norm(points.rows(rivals) - points.mean / points.unit, axis=1)
    return int(rivals[np.argmax(distance <= distance.min() + TIE * np.sqrt(points.largest))])


class CoreSet(Selector):
    """k-centre greedy: each pick is the image farthest from all picks so far.

    Args:
        device: None for NumPy, or a torch device such as ``"cuda"``; the picks are the same.

    >>> from xssr_strategy.selection import CoreSet
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]  # two groups of three and an outlier
    >>> selection = CoreSet().select(pool, budget=3)
    >>> selection.indices.tolist()  # the one nearest to the mean, then what is farthest: outliers come early
    [3, 6, 0]
    >>> selection.scores.round(2).tolist()  # the distance of each to the picks before it
    [0.0, 20.0, 10.0]
    >>> round(selection.max_coverage, 2)  # no image is farther than this from a pick
    2.0
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = device

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        return k_centre_greedy(points, budget, labeled)
