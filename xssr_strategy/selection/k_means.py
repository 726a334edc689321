"""k-means picks: the image nearest to each cluster's centre, ALPS as MedCAL-Bench uses it.

k-means runs with as many clusters as there are labelled images and picks together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.clusters import checked_seed, k_means_clusters, numbered
from xssr_strategy.selection.core_set import k_centre_greedy
from xssr_strategy.selection.points import TIE, Points


def nearest_to_centres(points: Points, clusters: list[IntArray], budget: int, labeled: IntArray) -> Picks:
    """Pick from each cluster the free image that is nearest to the mean of its images.

    Clusters without a labelled image come first, then the larger ones (our choice). The score of a pick is its
    cluster's share of the pool. Ties go to the first image in canonical order, ties between clusters to the one that
    holds it. Where there are fewer clusters with a free image than picks, farthest-point picks with score 0 follow.

    Args:
        clusters: places, ascending, of the images of each.
    """
    free = np.ones(points.size, dtype=bool)
    free[labeled] = False
    picked: list[int] = []
    scores: list[float] = []
    for members in sorted(clusters, key=lambda members: (not free[members].all(), -len(members))):
        candidates = members[free[members]]
        if len(candidates) and len(picked) < budget:
            distance = np.linalg.norm(points.rows(candidates) - points.rows(members).mean(axis=0), axis=1)
            nearest = distance <= distance.min() + TIE * np.sqrt(points.largest)
            picked.append(int(candidates[np.argmax(nearest)]))
            scores.append(len(members) / points.size)
    indices = np.array(picked)
    missing = budget - len(picked)
    if not missing:
        return Picks(indices, np.array(scores))
    rest = k_centre_greedy(points, missing, np.concatenate([labeled, indices]))
    all_scores = np.array([*scores, *np.zeros(missing)])
    return Picks(np.concatenate([indices, rest.indices]), all_scores, distances=rest.distances)


class KMeans(Selector):
    """The image nearest to the centre of every k-means cluster.

    The picks are the same on one machine, not on every machine: see :func:`k_means_clusters`.

    Args:
        seed: of k-means.

    >>> from xssr_strategy.selection import KMeans
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]  # two groups of three and an outlier
    >>> selection = KMeans().select(pool, budget=3)
    >>> sorted(selection.indices.tolist())  # the middle of each group, and the outlier
    [1, 4, 6]
    >>> selection.scores.round(2).tolist()  # the share of the pool in each cluster, the larger ones first
    [0.43, 0.43, 0.14]
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = checked_seed(seed)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        clusters = k_means_clusters(points, len(labeled) + budget, self.seed)
        picks = nearest_to_centres(points, clusters, budget, labeled)
        return replace(picks, clusters=numbered(clusters, points.size))
