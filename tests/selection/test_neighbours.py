from __future__ import annotations

import sys

import numpy as np
import pytest

from xssr_strategy.selection import XSSR, neighbours
from xssr_strategy.selection.backend import NumpyBackend, TorchBackend
from xssr_strategy.selection.neighbours import neighbour_distances
from xssr_strategy.selection.points import Points


def groups(size: int, dimensions: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, dimensions)) * 3
    vectors = centres[rng.integers(0, 12, size)] + rng.normal(size=(size, dimensions))
    vectors[::9] = vectors[0]  # exact duplicates
    return vectors


@pytest.mark.parametrize("backend", [NumpyBackend(), TorchBackend("cpu")])
@pytest.mark.parametrize("tile", [(1 << 22, 8192), (1 << 12, 100), (100, 13)])
def test_exact_distances_among_the_points_and_to_others(monkeypatch, backend, tile: tuple[int, int]) -> None:
    monkeypatch.setattr(neighbours, "_TILE", tile[0])
    monkeypatch.setattr(neighbours, "_COLUMNS", tile[1])
    target, source = groups(230), groups(40) + 1.0
    points = Points(target, backend)
    inside = np.linalg.norm(target[:, None] - target[None], axis=2)
    np.fill_diagonal(inside, np.inf)
    expected = np.sort(inside, axis=1)[points.order, :10]
    np.testing.assert_allclose(neighbour_distances(points, points, 10), expected, rtol=1e-12, atol=1e-12)
    across = np.linalg.norm(target[:, None] - source[None], axis=2).min(axis=1)[points.order]
    found = neighbour_distances(points, Points(source, backend, points), 1)[:, 0]
    np.testing.assert_allclose(found, across, rtol=1e-12)


def test_as_many_neighbours_as_there_are() -> None:
    points = Points(np.arange(4.0)[:, None], NumpyBackend())
    assert neighbour_distances(points, points, 3)[0].tolist() == [1.0, 2.0, 3.0]


def test_a_large_pool_is_searched_approximately_and_still_selected_from(monkeypatch) -> None:
    target = groups(3000)
    points = Points(target, NumpyBackend())
    exact = neighbour_distances(points, points, 20)
    picks = XSSR(0.0).select(target, 12)
    monkeypatch.setattr(neighbours, "EXACT", 1000)
    found = neighbour_distances(points, points, 20)
    assert (found >= exact - 1e-12).all()  # real distances to real neighbours, never to the point itself
    assert np.mean(found <= exact + 1e-12) > 0.9  # recall
    approximate = XSSR(0.0).select(target, 12)
    assert approximate.mean_coverage == pytest.approx(picks.mean_coverage, rel=0.05)
    assert XSSR(0.0, device="cpu").select(target, 12).indices.tolist() == picks.indices.tolist()  # torch stays exact


def test_without_faiss_a_large_pool_is_refused_in_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT", 10)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"^30 vectors are too many .*pip install 'xssr-strategy\[large\]'"):
        XSSR().select(np.random.default_rng(0).normal(size=(30, 3)), 2)
