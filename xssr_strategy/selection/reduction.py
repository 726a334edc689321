"""From the dimensions of an embedding to the few in which a cold start looks for clusters, and people look at a map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from xssr_strategy.selection.backend import FloatArray
from xssr_strategy.selection.points import TIE

PLANE = 2
"""Dimensions of a map."""

COMPONENTS = 50
"""Principal components that PCA alone keeps, as is common before clustering; our choice."""

_LEAST = 7  # images below which t-SNE has too few neighbours for its smallest perplexity


def t_sne(vectors: FloatArray, seed: int = 0) -> FloatArray:
    """(N, 2) t-SNE of (N, D) vectors (van der Maaten and Hinton 2008, JMLR 9:2579), by Barnes and Hut's approximation.

    Begun from the first two principal components (Kobak and Berens 2019, doi 10.1038/s41467-019-13056-x), with
    perplexity min(30, max(5, (N - 1) / 3)) (our choice). Below 7 images, and where all are equal, the components are
    the result. Distances between clusters mean little, and another seed or version of the library gives another map.
    One thread: so that the map does not depend on how many cores there are.
    """
    plane = principal_components(vectors, PLANE)
    spread = float(plane[:, 0].std())
    if len(vectors) < _LEAST or spread <= TIE * float(np.abs(vectors).max()):
        return plane
    perplexity = min(30.0, max(5.0, (len(vectors) - 1) / 3))
    begin = (1e-4 / spread * plane).astype(np.float32)
    # Distances alone count, so the vectors may be centred and brought to a scale whose squares fit into float32.
    centred = (vectors - vectors.mean(axis=0)) / spread
    with threadpool_limits(1):
        found = TSNE(PLANE, perplexity=perplexity, init=begin, random_state=seed).fit_transform(centred)
    return np.asarray(found, dtype=np.float64)


def principal_components(vectors: FloatArray, count: int = COMPONENTS) -> FloatArray:
    """(N, count) scores of the first principal components, each with its largest loading positive.

    With fewer images or dimensions than ``count`` the rest is 0.
    """
    pca = signed_pca(vectors, count)
    scores = np.zeros((len(vectors), count))
    scores[:, : pca.n_components_] = pca.transform(vectors)
    return scores


def signed_pca(vectors: FloatArray, count: int) -> PCA:
    """The first principal components of (N, D) vectors, at most ``count``, each with its largest loading positive."""
    with threadpool_limits(1), np.errstate(invalid="ignore", divide="ignore"):  # no variance in equal images
        pca = PCA(min(count, *vectors.shape), svd_solver="full").fit(vectors)
    largest = np.abs(pca.components_).argmax(axis=1, keepdims=True)
    pca.components_ *= np.where(np.take_along_axis(pca.components_, largest, axis=1) < 0.0, -1.0, 1.0)
    return pca


REDUCTIONS: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    "tsne": t_sne,
    "pca": lambda vectors, seed: principal_components(vectors, min(COMPONENTS, vectors.shape[1])),
    "none": lambda vectors, seed: vectors,
}
"""Name -> function of (N, D) vectors and a seed. t-SNE to the plane is the paper's (Levy et al. 2026)."""
