"""Labelled images of a source for a target: XSSR the other way round.

XSSR picks from the target. Each pick in its turn takes the source image that is nearest to it among those that are
left; after the last pick it is the first one's turn again. That the target's own images decide is our choice: the paper
has no such rule.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.checks import checked_vectors, whole_number
from xssr_strategy.selection.xssr import XSSR


def select_source(target: ArrayLike, source: ArrayLike, count: int) -> IntArray:
    """(count,) rows of the source, those first that come first.

    Args:
        target: (N, D) vectors of the unlabelled domain.
        source: (M, D) vectors of the labelled images of another.
        count: 1 to M.

    Raises:
        ValueError: an array is no array of finite vectors, their dimensions differ, or the source has too few rows.

    >>> target = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]  # two groups
    >>> select_source(target, source=[[30.0], [1.5], [11.2], [-20.0], [0.9]], count=3).tolist()
    [4, 2, 1]
    """
    pool, known = checked_vectors("target", target), checked_vectors("source", source)
    if pool.shape[1] != known.shape[1]:
        raise ValueError(f"source has {known.shape[1]} dimensions and target {pool.shape[1]}: one encoder makes both.")
    if not 1 <= whole_number("count", count) <= len(known):
        raise ValueError(f"count must be 1 to {len(known)}, the rows of source, not {count}.")
    picks = XSSR().select(pool, min(count, len(pool))).indices
    left = np.ones(len(known), dtype=bool)
    taken: list[int] = []
    while len(taken) < count:
        pick = pool[picks[len(taken) % len(picks)]].astype(np.float64)
        distances = np.where(left, np.linalg.norm(known - pick, axis=1), np.inf)
        taken.append(int(distances.argmin()))
        left[taken[-1]] = False
    return np.array(taken)
