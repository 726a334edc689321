"""Euclidean distances, in blocks, so that no N x N matrix is ever held."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors


def distance_row(vectors: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) distances from every row of ``vectors`` (N, D) to ``row`` (D,); exactly 0 to an equal row."""
    difference = vectors - row
    return np.sqrt(np.einsum("nd,nd->n", difference, difference))


def nearest_distance(vectors: NDArray[np.float64], references: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) distance from every row of ``vectors`` (N, D) to the nearest row of ``references`` (M, D), M >= 1."""
    chunks = pairwise_distances_chunked(vectors, references, reduce_func=lambda block, _: block.min(axis=1))
    return np.concatenate(list(chunks))


def mean_neighbour_distance(vectors: NDArray[np.float64], neighbours: int) -> NDArray[np.float64]:
    """(N,) mean distance from every row of ``vectors`` (N, D) to its nearest others, itself left out."""
    index = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(vectors)
    distance, _ = index.kneighbors()
    return distance.mean(axis=1)
