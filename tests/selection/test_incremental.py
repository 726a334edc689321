"""The next pick from the state is that of a fresh run, whatever was labelled, leased or given back before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xssr_strategy.selection import XSSR

ACTIONS = st.lists(st.sampled_from(["label the pick", "lease another", "give back", "add an image"]), max_size=12)


def pool(rng: np.random.Generator, size: int) -> np.ndarray:
    vectors = rng.normal(size=(size, 4)) * rng.choice([1.0, 4.0], size=(size, 1))
    vectors[rng.random(size) < 0.2] = vectors[0]  # exact duplicates are common among scans
    return vectors


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 25),
    alpha=st.sampled_from([0.0, 0.3, 0.9]),
    combination=st.sampled_from(["product", "sum"]),
    with_source=st.booleans(),
    actions=ACTIONS,
)
def test_equals_a_fresh_run_after_any_sequence(seed, size, alpha, combination, with_source, actions) -> None:
    rng = np.random.default_rng(seed)
    target, source = pool(rng, size), rng.normal(size=(5, 4)) if with_source else None
    xssr = XSSR(alpha, combination)
    taken: set[int] = set()
    state = xssr.begin(target, source)
    for action in ["look", *actions]:
        if action == "label the pick" and state.find() is not None:
            taken.add(state.find().index)
        elif action == "lease another" and len(taken) < len(target):
            taken.add(int(rng.choice([row for row in range(len(target)) if row not in taken])))
        elif action == "give back" and taken:
            taken.remove(int(rng.choice(sorted(taken))))
        elif action == "add an image":
            target = np.concatenate([target, pool(rng, 2)[1:]])
            state = xssr.begin(target, source, sorted(taken))
        state.update(taken)
        assert state.taken == taken
        candidate = state.find()
        if len(taken) == len(target):
            assert candidate is None
            continue
        fresh = xssr.select(target, 1, source, sorted(taken))
        assert np.array_equal(target[candidate.index], target[fresh.indices[0]])  # duplicates are interchangeable
        assert candidate.index not in taken
        assert candidate.score == pytest.approx(fresh.scores[0], abs=1e-5)
        for name, values in fresh.terms.items():
            assert getattr(candidate, name) == pytest.approx(values[0], abs=1e-5)
        assert fresh.mean_coverage <= state.coverage()[0] * (1 + 1e-6)


def test_known_terms_are_used_instead_of_found_again(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    target, source = rng.normal(size=(40, 6)), rng.normal(size=(10, 6))
    xssr = XSSR(0.4)
    rule = xssr.terms(target, source)
    assert rule.density.shape == rule.novelty.shape == (40,)
    nearest = np.linalg.norm(target[:, None] - source[None], axis=2).min(axis=1)
    np.testing.assert_allclose(rule.novelty, nearest)
    expected = xssr.select(target, 10, source, [3]).indices.tolist()
    monkeypatch.setattr("xssr_strategy.selection.xssr.neighbour_distances", None)
    assert xssr.select(target, 10, source, [3], rule=rule).indices.tolist() == expected
    state = xssr.begin(target, source, [3], rule)
    for row in expected:
        assert state.find().index == row
        state.take(row)


def test_coverage_is_that_of_the_rows_taken() -> None:
    target = np.random.default_rng(1).normal(size=(30, 3))
    state = XSSR(0.0).begin(target)
    assert state.coverage() == (np.inf, np.inf)
    state.update({4, 9})
    nearest = np.linalg.norm(target[:, None] - target[[4, 9]][None], axis=2).min(axis=1)
    assert state.coverage() == pytest.approx((nearest.mean(), nearest.max()), rel=1e-6)


def test_mistakes_get_one_sentence() -> None:
    target = np.eye(3)
    with pytest.raises(ValueError, match="alpha must be a number to begin with"):
        XSSR().begin(target, target)
    state = XSSR(0.0).begin(target, labeled=[1])
    with pytest.raises(ValueError, match="row 1 is taken already or not one of the 3 rows"):
        state.take(1)
    with pytest.raises(ValueError, match="row 3 is taken already or not"):
        state.take(3)
    with pytest.raises(ValueError, match="taken holds 7, but the rows of target run from 0 to 2"):
        state.update({7})
