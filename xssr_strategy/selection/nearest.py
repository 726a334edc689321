"""The nearest pick of every point, kept up to date pick by pick, for one or several selections in lock-step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.points import Points

KEPT = 1 << 23
"""Distances of picks, earlier or likely ones, that are kept at most (32 MB)."""

_PAIRS = 1 << 16  # distances between points and picks looked at together
_NUMBERS = 1 << 22  # float64 numbers held at once where float64 decides (32 MB)
_TOGETHER = 128  # rows of distances computed at once, at most
_ROWS = 1 << 19  # elements of these rows, at most (2 MB)


class NearestPick:
    """Distances from all N points to the nearest pick of each of R runs.

    Args:
        points: the pool.
        runs: how many selections advance together.
        labeled: places that count as picked from the start in every run.

    Attributes:
        distance: (R, N) float32 on the backend, in units; to the nearest pick, infinite while there is none and 0 at
            the picks.
    """

    def __init__(self, points: Points, runs: int, labeled: IntArray) -> None:
        self.points = points
        self.distance = points.backend.full((runs, points.size), np.inf)
        self._together = max(1, min(_TOGETHER, _ROWS // points.size))
        # Picks and their coordinates, with room for more to come.
        self._picks = np.tile(labeled, (runs, 1))
        self._coordinates = points.backend.empty((runs, len(labeled), points.dimensions))
        self._coordinates[:] = points.coordinates[labeled]
        self._count = self._done = len(labeled)
        for begin in range(0, len(labeled), self._together):
            rows, _ = points.squared(labeled[begin : begin + self._together])
            nearest = points.backend.xp.sqrt(points.backend.xp.amin(rows, 0))
            for run in range(runs):
                self._lower(run, nearest)
        self._fell = np.full(runs, np.inf)
        self._kept: dict[int, tuple[Any, float]] = {}

    def add(self, picks: IntArray) -> None:
        """More picks (R, T), T for every run; ``distance`` knows of them after :meth:`catch_up`."""
        count = self._count + picks.shape[1]
        if count > self._picks.shape[1]:
            self._grow(2 * count)
        self._picks[:, self._count : count] = picks
        self._coordinates[:, self._count : count] = self.points.coordinates[picks]
        self._count = count

    def catch_up(self, likely: Callable[[], IntArray] | None = None) -> None:
        """Bring ``distance`` up to date.

        Args:
            likely: places that may soon be picked; distances to several are computed faster than to one by one.
        """
        xp = self.points.backend.xp
        behind = self._picks[:, self._done : self._count]
        self._done = self._count
        if len(self.distance) == 1 and likely is None:
            for begin in range(0, behind.shape[1], self._together):
                rows, least = self.points.squared(behind[0, begin : begin + self._together])
                self._lower(0, xp.sqrt(rows[0] if len(rows) == 1 else xp.amin(rows, 0)))
                self._fell[0] = min(self._fell[0], np.sqrt(least.min()))
        else:
            for picks in behind.T:
                rows, others = zip(*self._rows(picks, likely), strict=True)
                for distance, row in zip(self.distance, rows, strict=True):
                    xp.minimum(distance, row, out=distance)
                np.minimum(self._fell, others, out=self._fell)

    def fell(self) -> NDArray[np.float64]:
        """(R,) no point that is no pick came nearer than this since the last call."""
        fell = self._fell.copy()
        self._fell.fill(np.inf)
        return fell

    def _rows(self, picks: IntArray, likely: Callable[[], IntArray] | None) -> list[tuple[Any, float]]:
        """Distances of each pick (R,) to all, and the least to another; kept for a while, for other runs."""
        found = {pick: self._kept[pick] for pick in picks.tolist() if pick in self._kept}
        missing = sorted(set(picks.tolist()) - found.keys())
        if missing and likely is not None:
            missing += sorted(set(likely().tolist()) - self._kept.keys() - set(missing))
        for begin in range(0, len(missing), self._together):
            some = missing[begin : begin + self._together]
            rows, least = self.points.squared(np.array(some, dtype=np.intp))
            self.points.backend.xp.sqrt(rows, out=rows)
            more = dict(zip(some, zip(rows, np.sqrt(least).tolist(), strict=True), strict=True))
            self._kept |= more
            found |= {pick: more[pick] for pick in more.keys() & set(picks.tolist())}
            while len(self._kept) * self.points.size > KEPT:
                del self._kept[next(iter(self._kept))]
        return [found[pick] for pick in picks.tolist()]

    def exact(self, run: int, places: IntArray) -> FloatArray:
        """(P,) float64 distances, in units, from these places to the nearest pick of a run; at least one pick."""
        points, numpy = self.points, self.points.backend.numpy
        picks = self._picks[run, : self._count]
        coordinates, squares = self._coordinates[run, : self._count], points.squares[picks]
        distance = numpy(self.distance[run])[places]
        distances = np.zeros(len(places))
        apart = np.flatnonzero(distance > 0.0)  # near-duplicates have been found by differences
        step = max(1, min(_PAIRS, _NUMBERS // points.dimensions) // len(picks))
        for begin in range(0, len(apart), step):
            some = apart[begin : begin + step]
            # float32 tells which picks can be the nearest.
            rows = points.squared_to(places[some], coordinates, squares)
            reach = numpy(points.squares[places[some]])[:, None] + numpy(squares)
            place, pick = np.nonzero(rows <= distance[some, None] ** 2 + 4.0 * points.rounding * reach)
            difference = points.rows(places[some][place]) - points.rows(picks[pick])
            exact = np.einsum("ud,ud->u", difference, difference)
            distances[some] = np.sqrt(np.minimum.reduceat(exact, np.searchsorted(place, np.arange(len(some)))))
        return distances

    def distances(self, run: int) -> FloatArray:
        """(N,) distances to the nearest pick of a run, in the caller's unit, to about six digits."""
        return self.points.backend.numpy(self.distance[run]).astype(np.float64) * self.points.unit

    def _grow(self, room: int) -> None:
        picks, coordinates = self._picks, self._coordinates
        self._picks = np.zeros((len(picks), room), dtype=np.intp)
        self._coordinates = self.points.backend.empty((*self._picks.shape, self.points.dimensions))
        self._picks[:, : self._count] = picks[:, : self._count]
        self._coordinates[:, : self._count] = coordinates[:, : self._count]

    def _lower(self, run: int, row: Any) -> None:
        self.points.backend.xp.minimum(self.distance[run], row, out=self.distance[run])
