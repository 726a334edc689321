from __future__ import annotations

import itertools

import numpy as np
import pytest

from xssr_strategy.selection import CoreSet, FacilityLocation, KMeans, Medoids, medoids


def clusters(seed: int, count: int = 6, each: int = 30, outliers: int = 8) -> np.ndarray:
    """Groups of points, and at the end a few far from everything."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 5)) * 6
    points = [centre + rng.normal(size=(each, 5)) for centre in centres]
    return np.concatenate([*points, rng.normal(size=(outliers, 5)) * 30])


def mean_coverage(points: np.ndarray, picks: tuple[int, ...]) -> float:
    return float(np.linalg.norm(points[:, None] - points[list(picks)], axis=2).min(axis=1).mean())


@pytest.mark.parametrize("seed", range(12))
def test_no_swap_is_left_that_helps_and_the_best_picks_are_not_far(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(14, 3))
    selection = Medoids(typical=1.0).select(points, 3)
    picks = selection.indices.tolist()
    swaps = [(*(pick for pick in picks if pick != old), new) for old in picks for new in range(14)]
    assert selection.mean_coverage <= min(mean_coverage(points, swap) for swap in swaps) + 1e-6
    best = min(mean_coverage(points, some) for some in itertools.combinations(range(14), 3))
    assert best - 1e-6 <= selection.mean_coverage <= 1.05 * best


def test_they_cover_better_than_greedy_and_k_means() -> None:
    """On average over pools; never worse than greedy, from which the swaps start."""
    medoids_, greedy, k_means = [], [], []
    for seed in range(8):
        points = np.random.default_rng(seed).normal(size=(200, 4))
        medoids_.append(Medoids(typical=1.0).select(points, 12).mean_coverage)
        greedy.append(FacilityLocation().select(points, 12).mean_coverage)
        k_means.append(KMeans(seed).select(points, 12).mean_coverage)
    assert all(ours <= theirs + 1e-6 for ours, theirs in zip(medoids_, greedy, strict=True))
    assert np.mean(medoids_) < 0.995 * np.mean(greedy)
    assert np.mean(medoids_) < 0.99 * np.mean(k_means)


def test_only_typical_images_are_picked_and_every_group_is_covered() -> None:
    points = clusters(3)
    picks = Medoids(typical=0.4).select(points, 6).indices
    assert sorted(picks // 30) == list(range(6))
    order = np.argsort(np.sort(np.linalg.norm(points[:, None] - points, axis=2), axis=1)[:, 1:21].mean(axis=1))
    assert set(picks) <= set(order[: round(0.4 * len(points))])
    assert max(Medoids().select(points, 12).indices) < 180
    assert max(CoreSet().select(points, 6).indices) >= 180  # where outliers attract


def test_the_gate_opens_for_a_large_budget() -> None:
    points = clusters(1, count=2, each=20, outliers=0)
    assert set(Medoids(typical=0.1).select(points, 40).indices) == set(range(40))
    strict = Medoids(typical=0.1, planned=2).select(points, 30)  # 4 are typical, the rest follows
    assert len(set(strict.indices)) == 30
    assert np.all(strict.scores[4:] == 0.0)


def test_labelled_images_are_covered_already() -> None:
    points = clusters(5, outliers=0)
    labeled = [0, 31, 62]  # of the first three groups
    picks = Medoids().select(points, 3, labeled=labeled).indices
    assert sorted(picks // 30) == [3, 4, 5]


def test_the_first_picks_are_the_best_to_stop_at_and_scores_add_up() -> None:
    points = clusters(2)
    selection = Medoids().select(points, 10)
    assert np.all(np.diff(selection.scores) <= 1e-12)
    assert np.all(selection.scores > 0.0)
    first = 2.0 * np.linalg.norm(points - points.mean(axis=0), axis=1).max()
    assert first * (1.0 - selection.scores.sum()) == pytest.approx(selection.mean_coverage)
    assert np.all((selection.terms["density"] >= 0.0) & (selection.terms["density"] <= 1.0))


def test_a_large_pool_is_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    points = clusters(4, each=100, outliers=0)
    everything = Medoids().select(points, 12).mean_coverage
    monkeypatch.setattr(medoids, "_MOST", 100)
    thinned = Medoids().select(points, 12).mean_coverage
    assert everything <= thinned < 1.1 * everything
    assert len(set(Medoids(planned=5).select(points, 300).indices)) == 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"typical": 0.0}, "typical must be a share above 0"),
        ({"typical": 1.5}, "typical must be a share above 0"),
        ({"typical": True}, "typical must be a share above 0"),
        ({"neighbours": 0}, "neighbours must be at least 1"),
        ({"planned": 0}, "planned must be at least 1"),
    ],
)
def test_a_bad_setting_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Medoids(**arguments)
