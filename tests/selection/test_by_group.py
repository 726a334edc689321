"""With groups: no second row of a group before every group has one, and otherwise the greedy rule."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import XSSR

RNG = np.random.default_rng(5)
SOURCE = RNG.normal(size=(20, 6))
GROUPS = [f"p{number}" for number in RNG.integers(0, 9, size=40)] + ["alone"]
TARGET = RNG.normal(size=(41, 6))


def scaled(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    low, high = values[among].min(), values[among].max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def by_hand(alpha: float, budget: int, labeled: list[int], groups: list[str]) -> list[int]:
    """The rule of the paper, in float64, among the rows of the groups with the fewest picks and labels."""
    apart = np.linalg.norm(TARGET[:, None] - TARGET[None], axis=2)
    density = 1.0 / (np.sort(apart, axis=1)[:, 1:21].mean(axis=1) + 1e-5)
    novelty = np.linalg.norm(TARGET[:, None] - SOURCE[None], axis=2).min(axis=1)
    taken, names = list(labeled), np.array(groups)
    for _ in range(budget):
        free = np.setdiff1d(np.arange(len(TARGET)), taken)
        counts = np.array([sum(groups[row] == name for row in taken) for name in names])
        among = free[counts[free] == counts[free].min()]
        diversity = np.ones(len(TARGET))
        if taken:
            nearest = apart[:, taken].min(axis=1)
            diversity = scaled(nearest, among)
        score = scaled(density, among) * (alpha * scaled(novelty, among) + (1 - alpha) * diversity)
        tied = among[score[among] >= score[among].max() - 1e-12]  # which goes to the larger diversity
        taken.append(int(tied[np.argmax(diversity[tied])]))
    return taken[len(labeled) :]


@pytest.mark.parametrize("labeled", [[], [3, 17]])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_the_picks_are_those_of_the_rule_by_hand(alpha: float, labeled: list[int]) -> None:
    found = XSSR(alpha).select(TARGET, 30, SOURCE, labeled, groups=GROUPS).indices.tolist()
    assert found == by_hand(alpha, 30, labeled, GROUPS)


@pytest.mark.parametrize("alpha", [0.4, "auto"])
def test_no_group_is_ahead_of_one_that_has_rows_left(alpha: float) -> None:
    labeled = [0, 1, 2]
    picks = XSSR(alpha).select(TARGET, len(TARGET) - 3, SOURCE, labeled, groups=GROUPS).indices.tolist()
    assert sorted([*picks, *labeled]) == list(range(len(TARGET)))
    taken = list(labeled)
    for pick in picks:
        left = {GROUPS[row] for row in range(len(TARGET)) if row not in taken}
        counts = {name: sum(GROUPS[row] == name for row in taken) for name in left}
        assert counts[GROUPS[pick]] == min(counts.values())
        taken.append(pick)


def test_alpha_is_calibrated_on_the_picks_by_group() -> None:
    selection = XSSR(grid=(0.0, 0.5, 0.9)).select(TARGET, 6, SOURCE, groups=GROUPS)
    for alpha, mean, largest in selection.calibration:
        picks = TARGET[by_hand(alpha, 6, [], GROUPS)]
        nearest = np.linalg.norm(TARGET[:, None] - picks[None], axis=2).min(axis=1)
        assert (mean, largest) == (pytest.approx(nearest.mean(), rel=1e-5), pytest.approx(nearest.max(), rel=1e-5))
    assert selection.alpha == min(selection.calibration, key=lambda point: point[1])[0]
    ranked = XSSR(grid=(0.0, 0.5, 0.9), calibration_budget=6).select(TARGET, 20, SOURCE, groups=GROUPS)
    assert ranked.calibration == selection.calibration
    assert ranked.indices[:6].tolist() == selection.indices.tolist()


def test_groups_of_one_change_nothing_and_the_order_of_the_pool_does_not_matter() -> None:
    alone = [str(row) for row in range(len(TARGET))]
    plain = XSSR().select(TARGET, 12, SOURCE, [4])
    grouped = XSSR().select(TARGET, 12, SOURCE, [4], groups=alone)
    assert grouped.indices.tolist() == plain.indices.tolist()
    assert np.array(grouped.calibration) == pytest.approx(np.array(plain.calibration))
    order = np.random.default_rng(1).permutation(len(TARGET))
    expected = XSSR().select(TARGET, 12, SOURCE, groups=GROUPS).indices.tolist()
    shuffled = XSSR().select(TARGET[order], 12, SOURCE, groups=[GROUPS[row] for row in order]).indices
    assert order[shuffled].tolist() == expected


def test_a_group_for_each_row() -> None:
    with pytest.raises(ValueError, match="groups has 3 names and target 41 rows: give one for each"):
        XSSR().select(TARGET, 3, groups=["a", "b", "c"])


@pytest.mark.parametrize("labeled", [[], [3, 17]])
def test_one_pick_at_a_time_is_the_same(labeled: list[int]) -> None:
    """Known answer: the rule by hand; each pick is taken before the next is asked for, and some are given back."""
    state = XSSR(0.3).begin(TARGET, SOURCE, labeled, groups=GROUPS)
    wanted = by_hand(0.3, 20, labeled, GROUPS)
    for row in wanted:
        found = state.find()
        assert found is not None
        assert found.index == row
        state.take(row)
    state.update([*labeled, *wanted[:5]])
    found = state.find()
    assert found is not None
    assert found.index == wanted[5]
    state.update(np.arange(41))
    assert state.find() is None
    with pytest.raises(ValueError, match="groups has 2 names and target 41 rows"):
        XSSR(0.3).begin(TARGET, groups=["a", "b"])
