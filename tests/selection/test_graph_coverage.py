"""Graph coverage against the formula written out densely, and what it does with groups, duplicates and strangers."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import GraphCoverage
from xssr_strategy.selection.graph_coverage import coverage_kernel


def dense_kernel(vectors: np.ndarray, neighbours: int) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    weights = np.zeros_like(cosine)
    for row, values in enumerate(cosine):
        others = [column for column in np.argsort(-values) if column != row][:neighbours]
        weights[row, others] = np.maximum(values[others], 0.0)
    weights = np.maximum(weights, weights.T)
    degree = weights.sum(axis=1)
    adjacency = weights / np.sqrt(np.outer(degree, degree))
    return np.asarray(adjacency + adjacency @ adjacency)


@pytest.fixture
def pool() -> np.ndarray:
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(4, 6)) * 3
    return np.concatenate([centre + rng.normal(size=(15, 6)) for centre in centres])


def test_the_kernel_is_the_sum_of_one_and_two_steps(pool: np.ndarray) -> None:
    np.testing.assert_allclose(coverage_kernel(pool, 5).toarray(), dense_kernel(pool, 5), atol=1e-9)


@pytest.mark.parametrize("labeled", [[], [3, 40]])
def test_each_pick_adds_most_to_what_is_reached(pool: np.ndarray, labeled: list[int]) -> None:
    kernel = dense_kernel(pool, 5)
    taken = list(labeled)
    expected, gains = [], []
    for _ in range(8):
        reached = kernel[taken].max(axis=0) if taken else np.zeros(len(pool))
        gain = [-1.0 if place in taken else np.maximum(kernel[place] - reached, 0).sum() for place in range(len(pool))]
        expected.append(int(np.argmax(gain)))
        gains.append(max(gain))
        taken.append(expected[-1])
    selection = GraphCoverage(neighbours=5).select(pool, 8, labeled=labeled)
    assert selection.indices.tolist() == expected
    np.testing.assert_allclose(selection.scores, gains, atol=1e-9)


def test_every_group_has_a_pick_before_one_has_two(pool: np.ndarray) -> None:
    assert sorted(GraphCoverage(neighbours=8).select(pool, 4).indices // 15) == [0, 1, 2, 3]


def test_an_image_that_resembles_none_is_picked_when_nothing_is_left_to_reach() -> None:
    rng = np.random.default_rng(0)
    pool = np.concatenate([[[-1.0, 0.0, 0.0]], np.array([1.0, 0, 0]) + 0.1 * rng.normal(size=(11, 3))])
    selection = GraphCoverage(neighbours=3).select(pool, 12)
    place = selection.indices.tolist().index(0)
    assert selection.scores[place] == 0.0
    assert place >= np.count_nonzero(selection.scores) > 5


def test_a_row_of_zeros_resembles_nothing() -> None:
    kernel = coverage_kernel(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.0, 0.0]]), 2).toarray()
    assert not kernel[[0, 4]].any()
    assert not kernel[:, [0, 4]].any()
    assert kernel[1, 2] > 0


def test_the_number_of_neighbours_is_checked() -> None:
    with pytest.raises(ValueError, match="neighbours must be"):
        GraphCoverage(neighbours=0)
