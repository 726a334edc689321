"""Random picks, the baseline that every other selector has to beat."""

from __future__ import annotations

import numpy as np

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.clusters import checked_seed
from xssr_strategy.selection.points import Points


class Random(Selector):
    """Uniform picks without replacement; the same seed gives the same picks on every machine.

    Args:
        seed: of NumPy's default generator.

    >>> from xssr_strategy.selection import Random
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]
    >>> picks = Random(seed=1).select(pool, budget=3, labeled=[6]).indices.tolist()
    >>> picks == Random(seed=1).select(pool, budget=3, labeled=[6]).indices.tolist()
    True
    >>> 6 in picks  # what is labelled is never picked
    False
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = checked_seed(seed)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        candidates = np.setdiff1d(np.arange(points.size), labeled)
        indices = np.random.default_rng(self.seed).permutation(candidates)[:budget]
        return Picks(indices, np.zeros(budget))
