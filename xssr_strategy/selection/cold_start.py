"""Cold start: clusters of the pool, and images from every one of them (Levy et al. 2026, arXiv 2601.18532).

    1. the vectors are reduced to two dimensions by t-SNE
    2. k-means with k clusters C_1 .. C_k; k has the largest mean silhouette (Rousseeuw 1987) of 2 .. min(B, 50)
    3. the medoid of each cluster comes first: argmin_i sum_{j in C} d(i, j)
    4. the other R = B - k picks are shared in proportion to |C|, by largest remainders, at most a cluster's size
    5. inside a cluster by farthest point, begun at its medoid; what is left over by farthest point in the whole pool

All distances are those of the reduced vectors. The paper fixes steps 1 to 5 and t-SNE. Our choices: the candidates for
k, as its text does not give them; the order of the picks after the medoids, such that any part of the list is shared
among the clusters as the whole is; a cluster with labelled images needs no medoid, and its farthest points are those
far from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.checks import Rows, checked_budget, checked_rows
from xssr_strategy.selection.clusters import checked_number, checked_seed, clusters_by_silhouette, numbered
from xssr_strategy.selection.core_set import CoreSet
from xssr_strategy.selection.points import TIE, Points
from xssr_strategy.selection.reduction import REDUCTIONS

_BLOCK = 1 << 22  # distances at a time


def medoid(vectors: FloatArray) -> int:
    """Row whose distances to all rows have the smallest sum; ties go to the first.

    >>> medoid(np.array([[0.0], [1.0], [2.0], [9.0]]))  # rows 1 and 2 have the same sum
    1
    """
    step = max(1, _BLOCK // len(vectors))
    sums = [cdist(vectors[begin : begin + step], vectors).sum(axis=1) for begin in range(0, len(vectors), step)]
    totals = np.concatenate(sums)
    return int(np.argmax(totals <= totals.min() * (1.0 + TIE)))


def shares(total: int, weights: Sequence[int], limits: Sequence[int]) -> list[int]:
    """``total`` shared in proportion to ``weights`` by largest remainders, ties to the first, each at most its limit.

    The sum is smaller than ``total`` where a limit cuts a share; nobody else gets the rest.

    >>> shares(5, weights=[50, 30, 20], limits=[9, 9, 9])
    [3, 1, 1]
    >>> shares(5, weights=[50, 30, 20], limits=[2, 9, 9])
    [2, 1, 1]
    """
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    remainders = [total * weight % whole for weight in weights]
    for place in sorted(range(len(weights)), key=lambda place: -remainders[place])[: total - sum(parts)]:
        parts[place] += 1
    return [min(part, limit) for part, limit in zip(parts, limits, strict=True)]


@dataclass(frozen=True)
class Clustering:
    """A pool in clusters, from which any budget can be picked.

    Attributes:
        vectors: (N, r) reduced.
        clusters: (N,) number of the cluster of every row.
        silhouettes: (number of clusters, mean silhouette) for every number tried.
    """

    vectors: FloatArray
    clusters: IntArray
    silhouettes: tuple[tuple[int, float], ...] = ()

    def pick(self, budget: int, labeled: Rows = ()) -> list[int]:
        """Rows in pick order: medoids, then farthest points in proportion (steps 3 to 5).

        Args:
            budget: at most the number of rows that are not labelled.
            labeled: rows that are annotated already, as numbers or as a boolean mask.

        Raises:
            ValueError: bad input.
        """
        known = checked_rows("labeled", labeled, len(self.vectors))
        budget = checked_budget(budget, len(self.vectors) - len(known))
        members = [np.flatnonzero(self.clusters == number) for number in range(int(self.clusters.max()) + 1)]
        rows = _from_every_cluster(self.vectors, members, budget, known)
        missing = budget - len(rows)
        if missing:
            taken = [*known.tolist(), *rows]
            rows += CoreSet().select(self.vectors, missing, labeled=taken).indices.tolist()
        return rows


class ColdStart(Selector):
    """Clusters by silhouette, their medoids, then farthest points in proportion (Levy et al. 2026).

    The score of a pick is its cluster's share of the pool. The result tells the cluster of every image and the mean
    silhouette of every k tried. The picks are the same on one machine, not on every machine: k-means and t-SNE
    amplify rounding.

    Args:
        reduction: ``tsne``, the paper's; ``pca``, at most 50 components; or ``none``.
        max_clusters: largest k tried.
        seed: of t-SNE and k-means.

    >>> from xssr_strategy.selection import ColdStart
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]  # two groups of three and an outlier
    >>> selection = ColdStart(reduction="none").select(pool, budget=3)
    >>> [(number, round(silhouette, 2)) for number, silhouette in selection.silhouettes]  # three clusters fit best
    [(2, 0.61), (3, 0.74)]
    >>> sorted(selection.indices.tolist())  # their medoids
    [1, 4, 6]
    """

    def __init__(self, reduction: str = "tsne", max_clusters: int = 50, seed: int = 0) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, not {reduction!r}.")
        self.reduction = reduction
        self.max_clusters = checked_number("max_clusters", max_clusters, 1)
        self.seed = checked_seed(seed)

    def cluster(self, target: ArrayLike, budget: int) -> Clustering:
        """The clusters of a pool, the costly part of :meth:`select` (steps 1 and 2).

        Args:
            target: (N, D) finite vectors of the pool.
            budget: labels there will be in all; k is at most that.

        Raises:
            ValueError: as :meth:`select`.

        >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
        >>> clustering = ColdStart(reduction="none").cluster(pool, budget=3)
        >>> clustering.clusters.tolist()
        [0, 0, 0, 1, 1, 1]
        >>> sorted(clustering.pick(2))  # any budget, without clustering again
        [1, 4]
        """
        points, _, _ = self.checked(target, None, ())
        found = self._cluster(points, checked_number("budget", budget, 1))
        vectors, clusters = np.empty_like(found.vectors), np.empty_like(found.clusters)
        vectors[points.order], clusters[points.order] = found.vectors, found.clusters
        return Clustering(vectors, clusters, found.silhouettes)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        found = self._cluster(points, len(labeled) + budget)
        indices = np.array(found.pick(budget, labeled))
        scores = np.bincount(found.clusters)[found.clusters[indices]] / points.size
        return Picks(indices, scores, clusters=found.clusters, silhouettes=found.silhouettes)

    def _cluster(self, points: Points, budget: int) -> Clustering:
        vectors = REDUCTIONS[self.reduction](points.rows(slice(None)), self.seed)
        clusters, silhouettes = clusters_by_silhouette(vectors, min(budget, self.max_clusters), self.seed)
        return Clustering(vectors, numbered(clusters, points.size), silhouettes)


def _from_every_cluster(vectors: FloatArray, clusters: list[IntArray], budget: int, labeled: IntArray) -> list[int]:
    """Medoids, largest cluster first, and farthest points in proportion; too few where clusters are used up.

    Args:
        clusters: rows of each, ascending.
    """
    clusters = sorted(clusters, key=lambda members: -len(members))
    known = [np.flatnonzero(np.isin(members, labeled)) for members in clusters]
    new = [number for number, rows in enumerate(known) if not len(rows)][:budget]
    medoids = {number: medoid(vectors[clusters[number]]) for number in new}
    picks = [int(clusters[number][row]) for number, row in medoids.items()]
    begun = [[*rows.tolist(), *([medoids[number]] if number in medoids else [])] for number, rows in enumerate(known)]
    sizes = [len(members) for members in clusters]
    free = [size - len(rows) for size, rows in zip(sizes, begun, strict=True)]
    turns = []
    for number, share in enumerate(shares(budget - len(picks), sizes, free)):
        if share:
            members = clusters[number]
            farthest = CoreSet().select(vectors[members], share, labeled=begun[number]).indices
            turns += [((turn + 1) / share, number, int(members[row])) for turn, row in enumerate(farthest)]
    return picks + [row for _, _, row in sorted(turns)]
