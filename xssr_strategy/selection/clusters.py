"""k-means clusters of a pool, for the selectors that pick cluster by cluster."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import cluster
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.points import Points


def k_means_clusters(points: Points, count: int, seed: int) -> list[IntArray]:
    """At most ``count`` clusters, each as its places, ascending; ordered by their first place.

    Lloyd's algorithm from one k-means++ start (our choice), on float64 vectors in canonical order. There are fewer
    than ``count`` where the pool has fewer distinct points; with ``count`` points and fewer each is its own cluster.

    One thread: the sums are then added in the same order however many cores there are. So the clusters are the same
    on one machine for every order of the pool; another BLAS may round otherwise, and k-means can amplify that.
    """
    if count >= points.size:
        return [np.array([place]) for place in range(points.size)]
    vectors = np.ascontiguousarray(points.rows(slice(None)))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        labels = cluster.KMeans(count, n_init=1, random_state=seed, copy_x=False).fit_predict(vectors)
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
