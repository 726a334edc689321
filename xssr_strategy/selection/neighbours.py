"""Distances to nearest neighbours, without an N x N matrix."""

from __future__ import annotations

import numpy as np
import torch

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.points import Points

_BLOCK = 1 << 22  # float32 distances held at once (16 MB)
_SPARE = 4  # neighbours that float32 finds beyond those wanted; float64 then keeps the nearest
_REFINED = 1 << 19  # float64 numbers held at once by the refinement


def neighbour_distances(points: Points, others: Points, count: int) -> FloatArray:
    """(N, count) distances, in units, ascending, from every point to its nearest of ``others``.

    Among the points themselves (``others is points``) a point is not its own neighbour. float32 finds the candidates,
    a few more than wanted, block by block; float64 differences give the distances. They are exact but where more than
    four others lie within float32's rounding of the last neighbour; then the error is no larger than that rounding.

    Args:
        count: 1 to the number of others.
    """
    itself = others is points
    found = min(count + _SPARE, others.size - itself)
    # torch on every backend: its selection is several times as fast as np.partition.
    queries, columns = torch.as_tensor(points.coordinates), torch.as_tensor(others.coordinates).T
    squares = torch.as_tensor(others.squares)
    distances = np.empty((points.size, count))
    step = max(1, _BLOCK // others.size)
    product = torch.empty(step, others.size, device=squares.device)
    for begin in range(0, points.size, step):
        end = min(begin + step, points.size)
        block = product[: end - begin]
        # The squared length of the point itself is the same for all others and changes no order.
        torch.mm(queries[begin:end], columns, out=block)
        block.mul_(-2.0).add_(squares)
        if itself:
            block[np.arange(end - begin), np.arange(begin, end)] = np.inf
        candidates = torch.topk(block, found, dim=1, largest=False, sorted=False)[1].cpu().numpy()
        distances[begin:end] = _refined(points, begin, others, candidates, count)
    return distances


def _refined(points: Points, begin: int, others: Points, found: IntArray, count: int) -> FloatArray:
    """(P, count) smallest float64 distances among the candidates ``found`` (P, F) of the points from ``begin`` on."""
    distances = np.empty((len(found), count))
    step = max(1, _REFINED // (found.shape[1] * points.dimensions))
    pool, queries = torch.from_numpy(others.values), torch.from_numpy(points.values)
    rows = torch.from_numpy(others.order)[torch.from_numpy(found)]
    for start in range(0, len(found), step):
        candidates = rows[start : start + step]
        vectors = pool.index_select(0, candidates.ravel()).double()
        ours = points.order[begin + start : begin + start + len(candidates)]
        difference = vectors.view(*candidates.shape, -1).sub_(queries[torch.from_numpy(ours)][:, None])
        if points.unit != 1.0:
            difference /= points.unit
        squared = difference.square_().sum(2).numpy()
        squared.sort(axis=1)
        distances[start : start + step] = np.sqrt(squared[:, :count])
    return distances
