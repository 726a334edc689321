"""From a feature map to a vector: what is in the image, and where.

A vector has two parts. The *content* is the global average of the map, the usual embedding of an encoder. The *layout*
keeps where the features are: the map averaged in a grid of at most 4 cells an axis, brought to 256 numbers by a fixed
Gaussian random projection, which keeps distances (Johnson and Lindenstrauss 1984; Dasgupta and Gupta 2003, doi
10.1002/rsa.10073). Grid and length are our choice, made on a part of the pool of one X-ray domain.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

LAYOUT = 256
"""Numbers of the layout, the last of every vector."""

CELLS = 4
"""Cells of the grid along an axis, at most."""

_POOLS: dict[int, Any] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def read_out(features: Tensor) -> Tensor:
    """(B, C, *grid) feature maps -> (B, C + ``LAYOUT``) vectors: content, then layout."""
    cells = tuple(min(CELLS, side) for side in features.shape[2:])
    grid = _POOLS[len(cells)](features, cells).flatten(start_dim=1)
    layout = grid.float() @ _projection(grid.shape[1]).to(grid.device)
    return torch.cat([features.flatten(start_dim=2).mean(dim=2).float(), layout], dim=1)


def content(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) vectors -> (N, D - ``LAYOUT``), their first part."""
    return vectors[:, :-LAYOUT]


def layout(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) vectors -> (N, ``LAYOUT``), their second part."""
    return vectors[:, -LAYOUT:]


@cache
def _projection(features: int) -> Tensor:
    # RandomState's stream is frozen: the same numbers on every machine and with every version of NumPy.
    draws = np.random.RandomState(0).standard_normal((features, LAYOUT)) / math.sqrt(LAYOUT)
    return torch.from_numpy(draws.astype(np.float32))
