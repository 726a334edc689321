"""k-means clusters of a pool, for the selectors that pick cluster by cluster."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import cluster
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.points import Points

SILHOUETTE_SAMPLE = 5_000
"""Images above which the mean silhouette is that of so many, drawn at random: its cost grows with their square."""

_STARTS = 10  # of k-means for each k tried, so that a bad one does not decide


def k_means_clusters(points: Points, count: int, seed: int) -> list[IntArray]:
    """At most ``count`` clusters, each as its places, ascending; ordered by their first place.

    Lloyd's algorithm from one k-means++ start (our choice), on float64 vectors in canonical order. There are fewer
    than ``count`` where the pool has fewer distinct points; with ``count`` points and fewer each is its own cluster.

    One thread: the sums are then added in the same order however many cores there are. So the clusters are the same
    on one machine for every order of the pool; another BLAS may round otherwise, and k-means can amplify that.
    """
    if count >= points.size:
        return [np.array([place]) for place in range(points.size)]
    return _members(_k_means(np.ascontiguousarray(points.rows(slice(None))), count, seed, 1))


def clusters_by_silhouette(
    vectors: FloatArray, most: int, seed: int
) -> tuple[list[IntArray], tuple[tuple[int, float], ...]]:
    """The k-means clusters whose number, from 2 to ``most``, has the largest mean silhouette (Rousseeuw 1987).

    The best of ten k-means++ starts for each number (our choice); of equal silhouettes the smaller number wins. One
    cluster where fewer than two are allowed or there are fewer than three images, or all are equal.

    Args:
        vectors: (N, D), float64.
        most: limit on the number of clusters.

    Returns:
        The clusters, each as its rows, ascending, ordered by their first row; and (number, silhouette) for every
        number tried.
    """
    best, chosen = -np.inf, np.zeros(len(vectors), dtype=np.intp)
    tried: list[tuple[int, float]] = []
    sample = np.random.default_rng(seed).permutation(len(vectors))[:SILHOUETTE_SAMPLE]
    for count in range(2, min(most, len(vectors) - 1) + 1):
        labels = _k_means(vectors, count, seed, _STARTS)
        found, first = np.unique(labels, return_index=True)
        if len(found) < count:  # no more distinct points
            break
        rows = np.union1d(sample, first)  # one of each cluster at least
        silhouette = float(silhouette_score(vectors[rows], labels[rows]))
        tried.append((count, silhouette))
        if silhouette > best:
            best, chosen = silhouette, labels
    return _members(chosen), tuple(tried)


def numbered(clusters: list[IntArray], size: int) -> IntArray:
    """(size,) number of the cluster that holds each place."""
    numbers = np.empty(size, dtype=np.intp)
    for number, members in enumerate(clusters):
        numbers[members] = number
    return numbers


def _k_means(vectors: FloatArray, count: int, seed: int, starts: int) -> IntArray:
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        labels: IntArray = cluster.KMeans(count, n_init=starts, random_state=seed).fit_predict(vectors)
    return labels


def _members(labels: IntArray) -> list[IntArray]:
    """The places of each label, in the order in which the labels first come."""
    return [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())]


def subset(points: Points, places: IntArray, like: Points | None = None) -> Points:
    """The points at these places, ascending, as points of their own; their canonical order is that of ``places``.

    Args:
        like: as of :class:`Points`.
    """
    return Points(points.values[points.order[places]], points.backend, like)


def checked_number(name: str, value: int, least: int, most: int | None = None) -> int:
    """A whole number of a selector's settings.

    Raises:
        ValueError: not a whole number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} must be a whole number, not {value!r}.")
    if value < least or (most is not None and value > most):
        allowed = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {allowed}, not {value}.")
    return int(value)


def checked_seed(seed: int) -> int:
    """A seed that scikit-learn takes.

    Raises:
        ValueError: not a whole number, or out of range.
    """
    return checked_number("seed", seed, 0, 2**32 - 1)
