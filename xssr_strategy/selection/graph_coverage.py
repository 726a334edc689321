"""Graph coverage: picks that reach most of the pool in one or two steps from neighbour to neighbour.

Rustamov et al. 2026, arXiv 2606.22002. With w_ij the cosine of two vectors, at least 0, where one of the two images is
among the k nearest neighbours of the other (else 0), and D the diagonal matrix of the row sums of W:

    A       = D^-1/2 W D^-1/2
    K       = A + A A                              the first two terms of the heat kernel
    score_i = sum_j max(K_ij - c_j, 0)             c_j the largest K_js of the picks s so far

The image with the largest score is picked, again and again. The paper selects for each class from labelled images; here
one graph holds the whole pool, as no label is known. An image that no neighbour resembles reaches nothing: its score is
0.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.neighbors import kneighbors_graph

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.clusters import checked_number
from xssr_strategy.selection.points import Points

NEIGHBOURS = 10
"""k, as in the paper."""


def coverage_kernel(vectors: FloatArray, neighbours: int) -> sparse.csr_array:
    """(N, N) K, symmetric; at most N - 1 images are neighbours.

    Args:
        vectors: (N, D); an all-zero row resembles nothing.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0.0, lengths, 1.0)
    count = min(neighbours, len(unit) - 1)
    if count < 1:
        return sparse.csr_array(np.zeros((len(unit), len(unit))))
    weights = sparse.csr_array(kneighbors_graph(unit, count, mode="distance"))
    weights.data = np.clip(1.0 - np.square(weights.data) / 2.0, 0.0, 1.0)  # the cosine of two rows of length 1
    weights.data *= (lengths[_rows(weights), 0] > 0.0) & (lengths[weights.indices, 0] > 0.0)
    adjacency = sparse.csr_array(weights.maximum(weights.T))
    degree = adjacency.sum(axis=1)
    scale = 1.0 / np.sqrt(np.where(degree > 0.0, degree, 1.0))
    adjacency.data *= scale[_rows(adjacency)] * scale[adjacency.indices]
    return sparse.csr_array(adjacency + adjacency @ adjacency)


def _rows(matrix: sparse.csr_array) -> IntArray:
    """The row of every entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


class GraphCoverage(Selector):
    """Each pick reaches most of what no pick reaches yet, over a graph of neighbours (Rustamov et al. 2026).

    Near-duplicates reach each other, so that few of them are picked. The picks are the same on one machine: what
    rounding makes of equal distances decides who is a neighbour.

    Args:
        neighbours: k of the graph.

    >>> from xssr_strategy.selection import GraphCoverage
    >>> pool = [[1.0, 0.0], [0.9, 0.1], [0.9, 0.0], [0.0, 1.0], [0.1, 0.9], [0.1, 1.0]]  # two directions
    >>> GraphCoverage(neighbours=2).select(pool, budget=2).indices.tolist()  # one of each
    [5, 2]
    """

    def __init__(self, neighbours: int = NEIGHBOURS) -> None:
        self.neighbours = checked_number("neighbours", neighbours, 1)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        kernel = coverage_kernel(points.values[points.order].astype(np.float64), self.neighbours)
        covered: FloatArray = np.zeros(points.size)
        free = np.ones(points.size, dtype=bool)
        rows = _rows(kernel)

        def take(place: int) -> None:
            entries = slice(kernel.indptr[place], kernel.indptr[place + 1])
            columns = kernel.indices[entries]
            covered[columns] = np.maximum(covered[columns], kernel.data[entries])
            free[place] = False

        for place in labeled:
            take(int(place))
        indices: list[int] = []
        scores: list[float] = []
        while len(indices) < budget:
            gains = np.bincount(rows, np.maximum(kernel.data - covered[kernel.indices], 0.0), minlength=points.size)
            best = int(np.argmax(np.where(free, gains, -1.0)))
            indices.append(best)
            scores.append(float(gains[best]))
            take(best)
        return Picks(np.array(indices), np.array(scores))
