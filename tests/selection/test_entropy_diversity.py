"""Entropy and diversity, against a brute force of its two steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xssr_strategy.selection import EntropyDiversity
from xssr_strategy.selection.entropy_diversity import shortlist


def brute_force(
    target: np.ndarray, entropy: np.ndarray, budget: int, labeled: list[int], factor: int
) -> tuple[list[int], list[float]]:
    open_rows = [row for row in range(len(target)) if row not in labeled]
    short = sorted(open_rows, key=lambda row: -entropy[row])[: factor * budget]
    picks, scores = [], []
    while len(picks) < budget:
        known = [*labeled, *picks]
        if not known:
            best, score = short[0], 0.0
        else:
            gaps = {row: np.linalg.norm(target[row] - target[known], axis=1).min() for row in short if row not in picks}
            best = max(gaps, key=gaps.__getitem__)
            score = gaps[best]
        picks.append(best)
        scores.append(score)
    return picks, scores


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 5), st.integers(1, 4))
def test_the_two_steps(seed: int, budget: int, labelled: int, factor: int) -> None:
    rng = np.random.default_rng(seed)
    target, entropy = rng.normal(size=(24, 5)), rng.random(24)
    labeled = rng.permutation(24)[:labelled].tolist()
    selection = EntropyDiversity(entropy, factor).select(target, budget, labeled=labeled)
    picks, scores = brute_force(target, entropy, budget, labeled, factor)
    assert selection.indices.tolist() == picks
    assert selection.scores == pytest.approx(scores, abs=1e-6)
    assert selection.terms["entropy"].tolist() == entropy[picks].tolist()


def test_factor_1_is_entropy_alone_and_a_large_one_is_diversity_alone() -> None:
    rng = np.random.default_rng(0)
    target, entropy = rng.normal(size=(40, 3)), rng.random(40)
    alone = EntropyDiversity(entropy, 1).select(target, 6, labeled=[0]).indices
    assert set(alone.tolist()) == set((np.argsort(-entropy[1:])[:6] + 1).tolist())
    others = EntropyDiversity(1.0 - entropy, 40).select(target, 6, labeled=[0]).indices
    assert EntropyDiversity(entropy, 40).select(target, 6, labeled=[0]).indices.tolist() == others.tolist()


def test_the_order_of_the_pool_does_not_matter_even_where_entropies_are_equal() -> None:
    rng = np.random.default_rng(1)
    target, entropy = rng.normal(size=(30, 4)), np.repeat([0.1, 0.4, 0.4, 0.2, 0.4], 6)
    expected = EntropyDiversity(entropy, 2).select(target, 4, labeled=[3]).indices
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(30)
        found = EntropyDiversity(entropy[order], 2).select(target[order], 4, labeled=[int(np.argsort(order)[3])])
        assert order[found.indices].tolist() == expected.tolist()


def test_small_and_equal_pools() -> None:
    assert EntropyDiversity([0.3]).select([[1.0, 2.0]], 1).indices.tolist() == [0]
    alike = EntropyDiversity([0.1, 0.1, 0.1, 0.1]).select(np.ones((4, 2)), 3, labeled=[1])
    assert len({*alike.indices.tolist()} - {1}) == 3
    everything = EntropyDiversity(np.arange(5.0)).select(np.eye(5), 5)
    assert sorted(everything.indices) == list(range(5))
    assert everything.indices[0] == 4
    labelled_unknown = EntropyDiversity([np.nan, 0.2, 0.1]).select(np.eye(3), 2, labeled=[0])
    assert sorted(labelled_unknown.indices) == [1, 2]


def test_the_shortlist_keeps_the_order_of_ties() -> None:
    assert shortlist(np.array([0.1, 0.5, 0.5, 0.9]), np.array([0, 1, 2]), 2).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("entropy", "labeled", "message"),
    [
        ("high", [], r"entropy must be an array of numbers with one value per image"),
        ([[0.1, 0.2, 0.3]], [], r"entropy must have the shape \(images,\); it has \(1, 3\)"),
        ([0.1, 0.2], [], "entropy has 2 values and target 3 rows: give one for each"),
        ([0.1, 0.2, np.nan], [0], "entropy of row 2 is NaN or infinite: score that image, or count it as labelled"),
    ],
)
def test_bad_entropies_get_one_clear_sentence(entropy, labeled, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EntropyDiversity(entropy).select(np.eye(3), 1, labeled=labeled)


def test_a_factor_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="factor must be at least 1"):
        EntropyDiversity([0.1], 0)
