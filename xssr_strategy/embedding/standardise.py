"""Vectors as the selectors want them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EPS = 1e-8


def standardise(
    target: NDArray[np.float32], source: NDArray[np.float32] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Subtract the source's mean, divide by its deviation per dimension, then scale every row to length 1.

    Pooled features of a masked autoencoder share a large common part; without this step distances
    see little else. Rows of length 1 put density, novelty and diversity on one scale (our choice).

    Args:
        target: (N, D). source: (M, D), or None: then the target's own mean and deviation serve.

    Returns:
        The two, float64. A dimension without variance is only centred.

    >>> import numpy as np
    >>> from xssr_strategy.embedding.standardise import standardise
    >>> source = np.array([[100.0, 1.0], [100.0, 3.0], [104.0, 1.0], [104.0, 3.0]], dtype=np.float32)
    >>> target, _ = standardise(np.array([[104.0, 2.0], [110.0, 5.0]], dtype=np.float32), source)
    >>> target.round(2).tolist()  # the large common part is gone; both dimensions count alike; every row has length 1
    [[1.0, 0.0], [0.8, 0.6]]
    """
    reference = target if source is None else source
    mean, deviation = reference.mean(axis=0, dtype=np.float64), reference.std(axis=0, dtype=np.float64)
    deviation = np.where(deviation > _EPS, deviation, 1.0)

    def scaled(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        centred = (vectors - mean) / deviation
        return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), _EPS)

    return scaled(target), None if source is None else scaled(source)
