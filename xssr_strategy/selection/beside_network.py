"""Vectors that follow the work: those of an encoder and, beside them, a trained network's own features.

    x_i = (t_i / mean |t|,  z_i / |z_i|)    z: the features, each with mean 0 and deviation 1 over the pool

Both halves have rows of about length 1, so that they weigh the same; that is our choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xssr_strategy.selection.backend import FloatArray
from xssr_strategy.selection.checks import checked_vectors

_EPS = 1e-8


def beside_network(target: ArrayLike, features: ArrayLike) -> FloatArray:
    """(N, D + F) vectors for any selector.

    The source has no such features, so that a selector is given none, and XSSR decides by density and diversity.

    Args:
        target: (N, D) vectors of the pool by an encoder.
        features: (N, F) of the same images by a segmentation network, labelled images included.

    Raises:
        ValueError: one is no array of finite vectors, or their rows differ in number.

    >>> from xssr_strategy.selection import CoreSet
    >>> alike_to_the_encoder = [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    >>> vectors = beside_network(alike_to_the_encoder, features=[[0.0], [0.1], [0.2], [5.0]])
    >>> CoreSet().select(vectors, budget=1, labeled=[1]).indices.tolist()  # to the network one is not
    [3]
    """
    vectors, found = (checked_vectors(name, x) for name, x in (("target", target), ("features", features)))
    if len(found) != len(vectors):
        raise ValueError(f"features has {len(found)} rows and target {len(vectors)}: give one for each.")
    values = found.astype(np.float64)
    deviation = values.std(axis=0)
    centred = (values - values.mean(axis=0)) / np.where(deviation > _EPS, deviation, 1.0)
    scaled = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), _EPS)
    joined: FloatArray = np.hstack([vectors / max(float(np.linalg.norm(vectors, axis=1).mean()), _EPS), scaled])
    return joined
