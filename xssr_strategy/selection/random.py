"""Random picks, the baseline that every other selector has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.clusters import checked_seed
from xssr_strategy.selection.points import Points


class Random(Selector):
    """Uniform picks without replacement; the same seed gives the same picks on every machine.

    Args:
        seed: of NumPy's default generator.
        before: rows that are drawn before all others, as a boolean mask of the ``target`` to come; by default none.

    >>> from xssr_strategy.selection import Random
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]
    >>> picks = Random(seed=1).select(pool, budget=3, labeled=[6]).indices.tolist()
    >>> picks == Random(seed=1).select(pool, budget=3, labeled=[6]).indices.tolist()
    True
    >>> 6 in picks  # what is labelled is never picked
    False
    """

    def __init__(self, seed: int = 0, before: NDArray[np.bool_] | None = None) -> None:
        self.seed, self.before = checked_seed(seed), before

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        candidates = np.setdiff1d(np.arange(points.size), labeled)
        drawn = np.random.default_rng(self.seed).permutation(candidates)
        if self.before is not None:
            if len(self.before) != points.size:
                raise ValueError(f"before has {len(self.before)} values, target {points.size} rows: give one for each.")
            drawn = drawn[np.argsort(~self.before[points.order][drawn], kind="stable")]
        return Picks(drawn[:budget], np.zeros(budget))
