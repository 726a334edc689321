"""CoreSet: k-centre greedy (Sener and Savarese 2018, arXiv 1708.00489)."""

from __future__ import annotations

import numpy as np

from xssr_strategy.selection.base import FloatArray, IntArray, Picks, Selector
from xssr_strategy.selection.distance import distance_row, nearest_distance


def k_centre_greedy(target: FloatArray, budget: int, labeled: IntArray) -> Picks:
    """Pick again and again the row of ``target`` (N, D) that is farthest from all picks.

    A 2-approximation of the smallest covering radius. With nothing labelled, the first pick is the
    row nearest to the mean (our choice; the paper starts from labelled images). The score of a pick
    is its distance to the nearest pick before it.
    """
    if len(labeled):
        nearest = nearest_distance(target, target[labeled])
        nearest[labeled] = -1.0
    else:
        nearest = np.full(len(target), np.inf)
    indices = np.empty(budget, dtype=np.intp)
    scores = np.empty(budget)
    for step in range(budget):
        start = np.isinf(nearest).all()
        pick = int(distance_row(target, target.mean(axis=0)).argmin() if start else nearest.argmax())
        indices[step] = pick
        scores[step] = 0.0 if start else nearest[pick]
        nearest = np.minimum(nearest, distance_row(target, target[pick]))
        nearest[indices[: step + 1]] = -1.0
    return Picks(indices, scores)


class CoreSet(Selector):
    """k-centre greedy: each pick is the image farthest from all picks so far."""

    def _pick(self, target: FloatArray, budget: int, source: FloatArray | None, labeled: IntArray) -> Picks:
        return k_centre_greedy(target, budget, labeled)
