"""Vectors of an encoder joined with a network's features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler, normalize

from xssr_strategy.selection import XSSR, beside_network


def test_both_halves_weigh_the_same_whatever_their_units() -> None:
    rng = np.random.default_rng(0)
    target, features = rng.normal(size=(40, 6)), rng.normal(size=(40, 9))
    joined = beside_network(target, features)
    np.testing.assert_allclose(joined[:, 6:], normalize(StandardScaler().fit_transform(features)))
    assert np.linalg.norm(joined[:, :6], axis=1).mean() == pytest.approx(1.0)
    np.testing.assert_allclose(beside_network(1000 * target, 5 - 0.01 * features)[:, :6], joined[:, :6])
    np.testing.assert_allclose(beside_network(target, 0.01 * features + 5), joined, atol=1e-9)


def test_a_feature_that_is_the_same_for_all_says_nothing() -> None:
    target = np.eye(4)
    assert np.array_equal(beside_network(target, np.full((4, 3), 7.0)), np.hstack([target, np.zeros((4, 3))]))


def test_xssr_sees_groups_that_only_the_network_tells_apart() -> None:
    rng = np.random.default_rng(1)
    target = 0.01 * rng.normal(size=(60, 4)) + np.array([1.0, 0, 0, 0])
    kinds = np.repeat([0, 1, 2], 20)
    features = np.eye(3)[kinds] + 0.05 * rng.normal(size=(60, 3))
    found = XSSR().select(beside_network(target, features), 3)
    assert sorted(kinds[found.indices]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("target", "features", "why"),
    [
        (np.eye(3), np.eye(2), "features has 2 rows and target 3: give one for each."),
        (np.eye(2), [[0.0], [np.nan]], "features row 1 holds NaN or infinity"),
        (np.eye(2), [0.0, 1.0], r"features must have the shape \(images, dimensions\)"),
    ],
)
def test_other_shapes_are_refused(target: np.ndarray, features: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        beside_network(target, features)
