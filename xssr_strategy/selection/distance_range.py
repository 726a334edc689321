"""The ends of the scale of diversity: the least and the largest distance of a free point to the nearest pick."""

from __future__ import annotations

from typing import Any

import numpy as np

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.nearest import NearestPick


class DistanceRange:
    """The least and the largest distance of a free point, for each of R runs.

    Distances only shrink, and seldom at the ends: these are looked for again only where they may have moved.

    Args:
        nearest: the distances.

    Attributes:
        low, high: (R,) in units, as float32 has them; infinite before :meth:`update`.
    """

    def __init__(self, nearest: NearestPick) -> None:
        self._nearest, self._every = nearest, np.arange(len(nearest.distance))
        self.low, self.high = np.full(len(self._every), np.inf), np.full(len(self._every), np.inf)
        self._near, self._far = np.zeros_like(self._every), np.zeros_like(self._every)  # where they are

    def close(self, places: IntArray) -> None:
        """One point (R,) of each run is not free any more."""
        self.low[(self._near == places) | (self._far == places)] = np.inf

    def update(self, addend: Any) -> IntArray:
        """Look at the distances as they are now.

        Args:
            addend: (R, N) on the backend, minus infinity at points that are not free.

        Returns:
            The runs of which an end has moved.
        """
        distance, backend = self._nearest.distance, self._nearest.points.backend
        shrunk = backend.numpy(distance[self._every, self._far]) < self.high
        moved: IntArray = (np.isinf(self.low) | (self._nearest.fell() < self.low) | shrunk).nonzero()[0]
        for run in moved:
            free = backend.xp.where(addend[run] > -np.inf, distance[run], np.inf)
            near = int(backend.xp.argmin(free))
            far = int(backend.xp.argmax(backend.xp.where(addend[run] > -np.inf, distance[run], -1.0)))
            self._near[run], self._far[run] = near, far
            self.low[run], self.high[run] = float(free[near]), float(distance[run, far])
        return moved

    def exact(self, run: int, addend: Any) -> tuple[float, float]:
        """Both ends of a run in float64; ``addend`` as above."""
        numpy, points = self._nearest.points.backend.numpy, self._nearest.points
        distance = numpy(self._nearest.distance[run])
        error = 2.0 * float(points.error(self.low[run], self.high[run]))
        at_end = (distance <= self.low[run] + error) | (distance >= self.high[run] - error)
        distances = self._nearest.exact(run, (at_end & (numpy(addend[run]) > -np.inf)).nonzero()[0])
        return float(distances.min()), float(distances.max())
