"""Embedding stores of images that nobody has seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore, Vector

ENCODER = "encoder"


def put(store: EmbeddingStore, domain: str, vectors: Mapping[str, NDArray[np.floating]], state: str = "1") -> None:
    """Keep the vectors; ``state`` stands for the content of the files."""
    store.put(domain, ENCODER, [Vector(image, state, v.astype(np.float32)) for image, v in vectors.items()])


def groups(count: int, dimensions: int = 8, seed: int = 0, prefix: str = "i") -> dict[str, NDArray[np.floating]]:
    """Vectors around three centres; image i belongs to centre i modulo 3."""
    rng = np.random.default_rng(seed)
    centres = 8.0 * np.eye(3, dimensions)
    return {f"{prefix}{i:03}": centres[i % 3] + rng.normal(size=dimensions) for i in range(count)}


def filled(path: Path, target: int, source: int = 0) -> EmbeddingStore:
    """A store with groups in both domains."""
    store = EmbeddingStore(path)
    put(store, TARGET, groups(target))
    put(store, SOURCE, groups(source, seed=1, prefix="s"))
    return store
