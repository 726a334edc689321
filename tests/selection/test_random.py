"""Random draws in which some rows come before all others."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import Random


def test_rows_that_come_before_are_drawn_first_and_the_others_at_random_after_them() -> None:
    target = np.random.default_rng(0).normal(size=(12, 3))
    before = np.isin(np.arange(12), [1, 4, 9])
    found = [Random(seed, before).select(target, 6, labeled=[4]).indices.tolist() for seed in range(20)]
    assert all(set(picks[:2]) == {1, 9} for picks in found)
    assert {tuple(picks[:2]) for picks in found} == {(1, 9), (9, 1)}
    assert {pick for picks in found for pick in picks[2:]} == set(range(12)) - {1, 4, 9}


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="before has 3 values, target 4 rows: give one for each"):
        Random(0, np.array([True, False, True])).select(np.eye(4), 1)
