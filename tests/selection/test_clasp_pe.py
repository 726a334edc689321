"""ClaSP PE: turns of the labels, then the whole entropy, and noise that fades with beta."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import ClaspPE
from xssr_strategy.selection.clasp_pe import STRATIFIED, beta_of

SURE = 1e9


def brute_force(entropy: np.ndarray, budget: int, labeled: list[int]) -> list[int]:
    picks: list[int] = []
    labels = entropy.shape[1] - 1
    for number in range(budget):
        stratified = number < int(STRATIFIED * budget)
        values = entropy[:, 1 + number % labels] if stratified else entropy.sum(axis=1)
        left = [row for row in range(len(entropy)) if row not in (*picks, *labeled)]
        picks.append(max(left, key=lambda row: values[row]))
    return picks


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("budget", [1, 2, 6, 7])
def test_without_noise_it_is_the_rule(labels: int, budget: int) -> None:
    rng = np.random.default_rng(budget)
    target, entropy, labeled = rng.normal(size=(20, 4)), rng.random((20, labels + 1)), [3, 7]
    selection = ClaspPE(entropy, beta=SURE).select(target, budget, labeled=labeled)
    assert selection.indices.tolist() == brute_force(entropy, budget, labeled)
    assert selection.terms["entropy"] == pytest.approx(entropy[selection.indices].sum(axis=1))


def test_the_smaller_beta_the_more_chance() -> None:
    rng = np.random.default_rng(0)
    target, entropy = rng.normal(size=(100, 4)), rng.random((100, 2))
    wanted = set(brute_force(entropy, 10, []))
    kept = [
        np.mean(
            [len(wanted & {*ClaspPE(entropy, beta, seed).select(target, 10).indices.tolist()}) for seed in range(30)]
        )
        for beta in (0.01, beta_of(0.0), beta_of(0.5), beta_of(1.0))
    ]
    assert kept[0] == pytest.approx(1.0, abs=0.6)  # ten of a hundred by chance
    assert kept == sorted(kept)
    assert kept[-1] > 8


def test_gumbel_noise_draws_in_proportion_to_the_power() -> None:
    """The first pick of log u + Gumbel / beta is i with probability u_i^beta / sum (the Gumbel-max trick)."""
    entropy = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    target = np.arange(3.0)[:, None]
    first = [ClaspPE(entropy, 2.0, seed).select(target, 2).indices[0] for seed in range(3000)]
    assert np.bincount(first, minlength=3) / 3000 == pytest.approx(np.array([1, 4, 9]) / 14, abs=0.03)


def test_the_order_of_the_pool_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    target, entropy = rng.normal(size=(30, 4)), rng.random((30, 3))
    expected = ClaspPE(entropy, 2.0, seed=5).select(target, 6, labeled=[3]).indices
    order = rng.permutation(30)
    found = ClaspPE(entropy[order], 2.0, seed=5).select(target[order], 6, labeled=[int(np.argsort(order)[3])])
    assert order[found.indices].tolist() == expected.tolist()


def test_images_without_any_doubt_are_picked_last() -> None:
    entropy = np.array([[0.0, 0.0], [0.0, 0.0], [0.1, 0.2], [np.nan, np.nan]])
    selection = ClaspPE(entropy, beta=1.0).select(np.eye(4), 3, labeled=[3])
    assert selection.indices[0] == 2
    assert sorted(selection.indices.tolist()) == [0, 1, 2]
    assert np.isfinite(selection.scores).all()


@pytest.mark.parametrize(
    ("entropy", "beta", "message"),
    [
        ([0.1, 0.2], 1.0, r"shape \(2,\)"),
        ([[0.1], [0.2]], 1.0, r"shape \(2, 1\)"),
        ([[0.1, -0.1], [0.2, 0.3]], 1.0, "negative"),
        ([[0.1, 0.1], [0.2, 0.3]], 0.0, "beta must be above 0"),
        ([[0.1, 0.1]], 1.0, "1 rows and target 2"),
        ([[0.1, np.nan], [0.2, 0.3]], 1.0, "row 0 is NaN"),
    ],
)
def test_bad_values_are_one_sentence(entropy: object, beta: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClaspPE(entropy, beta).select(np.eye(2), 1)  # type: ignore[arg-type]
