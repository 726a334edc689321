"""Which labelled images of a source help a target."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import XSSR, Random, select_source


def test_each_pick_of_the_target_takes_the_nearest_source_image_that_is_left() -> None:
    rng = np.random.default_rng(0)
    target, source = rng.normal(size=(50, 3)), rng.normal(size=(20, 3))
    left = list(range(20))
    expected = []
    for pick in XSSR().select(target, 8).indices:
        nearest = min(left, key=lambda row: float(((source[row] - target[pick]) ** 2).sum()))
        expected.append(nearest)
        left.remove(nearest)
    assert select_source(target, source, 8).tolist() == expected


def test_all_of_the_source_comes_once_however_few_targets_there_are() -> None:
    rng = np.random.default_rng(1)
    rows = select_source(rng.normal(size=(3, 2)), rng.normal(size=(11, 2)), 11)
    assert sorted(rows) == list(range(11))


def test_the_source_images_cover_the_target_better_than_random_ones() -> None:
    rng = np.random.default_rng(2)
    groups = np.eye(6) * 4
    target = np.concatenate([groups[k] + rng.normal(size=(30, 6)) for k in range(3)])
    source = np.concatenate([groups[k] + rng.normal(size=(30, 6)) for k in range(6)])  # half of it is of no use

    def distance(rows: np.ndarray) -> float:
        return float(np.linalg.norm(target[:, None] - source[rows][None], axis=2).min(axis=1).mean())

    drawn = [distance(Random(seed).select(source, 6).indices) for seed in range(20)]
    chosen = select_source(target, source, 6)
    assert all(row < 90 for row in chosen)
    assert distance(chosen) < min(drawn)


@pytest.mark.parametrize(
    ("source", "count", "why"),
    [
        (np.eye(3), 4, "count must be 1 to 3, the rows of source, not 4."),
        (np.eye(3), 0, "count must be 1 to 3, the rows of source, not 0."),
        (np.eye(3), 1.5, "count must be a whole number, not 1.5."),
        (np.eye(2), 1, "source has 2 dimensions and target 3: one encoder makes both."),
        ([[1.0, np.nan, 0.0]], 1, "source row 0 holds NaN or infinity"),
    ],
)
def test_bad_input_is_refused(source: object, count: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        select_source(np.eye(3), source, count)  # type: ignore[arg-type]
