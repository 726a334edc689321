"""TypiClust: the most typical image of every cluster (Hacohen, Dekel and Weinshall 2022, arXiv 2202.02794).

With k-means clusters C of the pool and the k nearest neighbours N_k(i) of image i inside its cluster:

    number of clusters = min(labelled + budget, 500)
    typicality_i       = 1 / (mean_{j in N_k(i)} d(i, j) + 1e-5),  k = min(20, |C| // 2), at least 1

The next pick is the most typical image of the cluster with the fewest labelled and picked images; of several such
clusters the largest. Where we leave the paper's code (avihu111/TypiClust): clusters are plain k-means also beyond 50,
which on pools of thousands is as fast as mini-batches and fits better; small clusters are used last, not dropped; the
neighbours are looked for among all images of the cluster, picked ones included, and distances are Euclidean, as in the
paper, not squared.
"""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.clusters import checked_number, checked_seed, k_means_clusters, numbered, subset
from xssr_strategy.selection.points import TIE, Points
from xssr_strategy.selection.xssr import NEIGHBOURS, density

_SMALL = 5  # images; a smaller cluster is used when the others are used up


def most_typical(points: Points, clusters: list[IntArray], budget: int, labeled: IntArray, neighbours: int) -> Picks:
    """Pick the most typical free image of one cluster after the other.

    The score of a pick is its typicality, 1 for the only image of a cluster. Ties go to the first in canonical order,
    ties between clusters to the one that holds it.

    Args:
        clusters: places, ascending, of the images of each.
        neighbours: k of the typicality.
    """
    free = np.ones(points.size, dtype=bool)
    free[labeled] = False
    queue = []
    for number, members in enumerate(clusters):
        left = np.count_nonzero(free[members])
        if left:
            queue.append((len(members) < _SMALL, len(members) - left, -len(members), number))
    heapq.heapify(queue)

    typicality: dict[int, FloatArray] = {}
    indices: list[int] = []
    scores: list[float] = []
    while len(indices) < budget:
        small, taken, size, number = heapq.heappop(queue)
        members = clusters[number]
        if number not in typicality:
            typicality[number] = np.where(free[members], density(subset(points, members), neighbours), -np.inf)
        values = typicality[number]
        best = int(np.argmax(values >= values.max() * (1.0 - TIE)))
        indices.append(int(members[best]))
        scores.append(float(values[best]))
        values[best] = -np.inf
        if taken + 1 < len(members):
            heapq.heappush(queue, (small, taken + 1, size, number))
    return Picks(np.array(indices), np.array(scores))


class TypiClust(Selector):
    """The most typical image of every cluster (Hacohen et al. 2022).

    The picks are the same on one machine, not on every machine: see :func:`k_means_clusters`.

    Args:
        neighbours: k of the typicality.
        seed: of k-means.
        max_clusters: limit on the number of clusters; budgets beyond it take several images of a cluster.

    >>> from xssr_strategy.selection import TypiClust
    >>> pool = [[0.0], [3.0], [4.0], [5.0], [9.0], [50.0], [53.0], [54.0], [55.0], [59.0]]
    >>> selection = TypiClust().select(pool, budget=2)
    >>> sorted(selection.indices.tolist())  # of each cluster the image with the nearest neighbours
    [2, 7]
    >>> selection.scores.round(2).tolist()  # 1 / their mean distance
    [1.0, 1.0]
    """

    def __init__(self, neighbours: int = NEIGHBOURS, seed: int = 0, max_clusters: int = 500) -> None:
        self.neighbours = checked_number("neighbours", neighbours, 1)
        self.seed = checked_seed(seed)
        self.max_clusters = checked_number("max_clusters", max_clusters, 1)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        clusters = k_means_clusters(points, min(len(labeled) + budget, self.max_clusters), self.seed)
        picks = most_typical(points, clusters, budget, labeled, self.neighbours)
        return replace(picks, clusters=numbered(clusters, points.size))
