"""Entropy and diversity: what a network is least sure of, spread out (Levy et al. 2026, arXiv 2601.18532).

    1. of the images that are not labelled, the m * B with the largest entropy are the shortlist
    2. B of them by farthest point: argmax_i min_j d(x_i, x_j) over the images labelled and picked so far

The paper combines entropy with diversity; its formula could not be found. The two steps, which have no weight to tune,
and m = 3 are our choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.checks import checked_values
from xssr_strategy.selection.clusters import checked_number
from xssr_strategy.selection.core_set import CoreSet
from xssr_strategy.selection.points import Points

FACTOR = 3
"""Images on the shortlist for every pick."""


def shortlist(entropy: FloatArray, candidates: IntArray, count: int) -> IntArray:
    """The candidates with the largest entropy, largest first, ties in their order; all if there are fewer.

    Args:
        entropy: (N,), finite for the candidates.
        candidates: rows, ascending.

    >>> shortlist(np.array([0.1, 0.9, 0.5, 0.7]), candidates=np.array([0, 2, 3]), count=2).tolist()
    [3, 2]
    """
    return candidates[np.argsort(-entropy[candidates], kind="stable")[:count]]


class EntropyDiversity(Selector):
    """Farthest points among the images that a network is least sure of (after Levy et al. 2026).

    The score of a pick is its distance to what was labelled or picked before. With nothing labelled the first pick is
    the image with the largest entropy, with score 0. The term ``entropy`` is in the unit in which it came.

    Args:
        entropy: (N,) mean predictive entropy of every row of the ``target`` to come; of labelled rows it may be NaN.
        factor: m, images on the shortlist for every pick.

    >>> from xssr_strategy.selection import EntropyDiversity
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]
    >>> entropy = [0.1, 0.2, 0.1, 0.6, 0.7, 0.9, 0.3]  # the network is least sure of the second group
    >>> selection = EntropyDiversity(entropy, factor=2).select(pool, budget=2)
    >>> selection.indices.tolist()  # of the four least sure, that with the largest entropy and the one farthest from it
    [5, 6]
    >>> selection.terms["entropy"].tolist()
    [0.9, 0.3]
    """

    def __init__(self, entropy: ArrayLike, factor: int = FACTOR) -> None:
        self.entropy = checked_values("entropy", entropy)
        self.factor = checked_number("factor", factor, 1)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        if len(self.entropy) != points.size:
            raise ValueError(
                f"entropy has {len(self.entropy)} values and target {points.size} rows: give one for each."
            )
        entropy = self.entropy[points.order]
        candidates = np.setdiff1d(np.arange(points.size), labeled)
        unknown = candidates[~np.isfinite(entropy[candidates])]
        if len(unknown):
            row = int(points.order[unknown].min())
            raise ValueError(f"entropy of row {row} is NaN or infinite: score that image, or count it as labelled.")
        short = shortlist(entropy, candidates, self.factor * budget)
        first = short[: 0 if len(labeled) else 1]
        rows = np.union1d(labeled, short)
        indices, scores = first.tolist(), [0.0] * len(first)
        if len(first) < budget:
            known = np.searchsorted(rows, [*labeled, *first])
            selection = CoreSet().select(points.values[points.order[rows]], budget - len(first), labeled=known)
            indices += rows[selection.indices].tolist()
            scores += selection.scores.tolist()
        return Picks(np.array(indices), np.array(scores), {"entropy": entropy[indices]})
