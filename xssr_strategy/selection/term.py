"""A fixed term of the XSSR score: one value per image, min-max scaled over the images still free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.points import TIE


class Term:
    """Values (N,) scaled to [0, 1] over the free points of each of R runs; a constant term is 0.

    The scale changes only when the free point with the largest or smallest value is picked, which the order of the
    values tells.

    Args:
        values: (N,).
        runs: number of selections that advance together.
        labeled: places that are not free from the start.
    """

    def __init__(self, values: FloatArray, runs: int, labeled: IntArray) -> None:
        self.values = values
        self._ascending = np.argsort(values, kind="stable")
        self._closed = np.zeros((runs, len(values)), dtype=bool)
        self._closed[:, labeled] = True
        self._every = np.arange(runs)
        self._first, self._last = np.zeros(runs, dtype=np.intp), np.full(runs, len(values) - 1)  # free, by value
        self._ends = np.zeros((2, runs), dtype=np.intp)  # the points that are these
        self.low, self.span = np.zeros(runs), np.zeros(runs)
        for run in range(runs):
            self._rescale(run)

    def close(self, picks: IntArray) -> set[int]:
        """Take one pick (R,) from each run; the runs whose scale has to change."""
        self._closed[self._every, picks] = True
        changed = set((self._ends == picks).nonzero()[1].tolist())
        for run in changed:
            self._rescale(run)
        return changed

    def scaled(self, run: int, places: IntArray | slice = slice(None)) -> FloatArray:
        """The scaled values of a run at these places; outside [0, 1] only at points that are not free."""
        if self.span[run] == 0.0:
            return np.zeros_like(self.values[places])
        scaled: FloatArray = (self.values[places] - self.low[run]) / self.span[run]
        return scaled

    def _rescale(self, run: int) -> None:
        """Find the ends of the free values again; they stay where they are if no point is free."""
        closed: NDArray[np.bool_] = self._closed[run]
        first, last = self._first[run], self._last[run]
        while first < last and closed[self._ascending[first]]:
            first += 1
        while last > first and closed[self._ascending[last]]:
            last -= 1
        self._first[run], self._last[run] = first, last
        self._ends[:, run] = self._ascending[[first, last]]
        low, high = self.values[self._ends[:, run]]
        self.low[run] = low
        self.span[run] = high - low if high - low > TIE * max(abs(low), abs(high)) else 0.0
