"""XSSR against a slow reference that is written straight from the formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xssr_strategy.selection import XSSR, CoreSet, Random


def reference(target, source, budget, labeled, alpha, combination, neighbours=20):
    """Pick by pick, image by image, as the module's docstring says it."""
    size = len(target)
    alpha = 0.0 if source is None else alpha
    distance = [[float(np.sqrt(((a - b) ** 2).sum())) for b in target] for a in target]
    count = min(neighbours, size // 2)
    density = []
    for i in range(size):
        others = sorted(distance[i][j] for j in range(size) if j != i)[:count]
        density.append(1 / (np.mean(others) + 1e-5) if count else 1.0)
    novelty = [min(np.sqrt(((t - s) ** 2).sum()) for s in source) if source is not None else 0.0 for t in target]

    def scaled(values, candidates):
        low, high = min(values[i] for i in candidates), max(values[i] for i in candidates)
        return {i: (values[i] - low) / (high - low) if high > low else 0.0 for i in candidates}

    chosen, picks = list(labeled), []
    while len(picks) < budget:
        candidates = [i for i in range(size) if i not in chosen]
        rho, nu = scaled(density, candidates), scaled(novelty, candidates)
        if chosen:
            delta = scaled([min(distance[i][j] for j in chosen) for i in range(size)], candidates)
        else:
            delta = dict.fromkeys(candidates, 1.0)
        trade = {i: alpha * nu[i] + (1 - alpha) * delta[i] for i in candidates}
        score = {i: rho[i] * trade[i] if combination == "product" else rho[i] + trade[i] for i in candidates}
        best = max(candidates, key=lambda i: score[i])
        runner_up = max((score[i] for i in candidates if i != best), default=-1.0)
        if score[best] - runner_up < 1e-9:
            return picks  # a tie: from here on several answers are right
        chosen.append(best)
        picks.append(best)
    return picks


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(2, 30),
    alpha=st.sampled_from([0.0, 0.2, 0.5, 0.9]),
    combination=st.sampled_from(["product", "sum"]),
    with_source=st.booleans(),
    labels=st.integers(0, 3),
)
def test_equals_the_reference_pick_by_pick(seed, size, alpha, combination, with_source, labels) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(size, 3)) * rng.choice([1.0, 5.0], size=(size, 1))
    source = rng.normal(size=(4, 3)) if with_source else None
    labeled = rng.choice(size, min(labels, size - 1), replace=False).tolist()
    budget = int(rng.integers(1, size - len(labeled) + 1))
    expected = reference(target, source, budget, labeled, alpha, combination)
    selection = XSSR(alpha, combination).select(target, budget, source, labeled)
    assert selection.indices[: len(expected)].tolist() == expected


def blobs(seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, 16)) * 3
    target = np.concatenate(
        [centre + rng.normal(size=(30, 16)) for centre in centres] + [rng.normal(size=(4, 16)) * 30]
    )
    return target, centres[0] + rng.normal(size=(40, 16))


def test_calibration_takes_the_alpha_with_the_smallest_mean_coverage() -> None:
    target, source = blobs()
    selection = XSSR().select(target, 12, source)
    assert [alpha for alpha, _, _ in selection.calibration] == [round(0.1 * i, 1) for i in range(10)]
    for alpha, mean_coverage, max_coverage in selection.calibration:
        fixed = XSSR(alpha=alpha).select(target, 12, source)
        assert (mean_coverage, max_coverage) == pytest.approx((fixed.mean_coverage, fixed.max_coverage))
    best = min(selection.calibration, key=lambda point: point[1])
    assert selection.alpha == best[0]
    assert selection.mean_coverage == pytest.approx(best[1])


def test_without_source_novelty_is_off_and_nothing_is_calibrated() -> None:
    target, _ = blobs()
    selection = XSSR().select(target, 5)
    assert selection.alpha == 0.0
    assert selection.calibration == ()
    assert not selection.terms["novelty"].any()


def test_density_keeps_outliers_out_and_covers_better_than_random() -> None:
    target, source = blobs()
    outliers = set(range(180, 184))
    assert not outliers & set(XSSR().select(target, 6, source).indices.tolist())
    assert outliers & set(CoreSet().select(target, 6).indices.tolist())
    random = np.mean([Random(seed).select(target, 12).mean_coverage for seed in range(20)])
    assert XSSR().select(target, 12, source).mean_coverage < random


def test_novelty_prefers_what_the_source_lacks() -> None:
    rng = np.random.default_rng(1)
    near, far = rng.normal(size=(30, 4)), rng.normal(size=(30, 4)) + 10
    source = rng.normal(size=(30, 4))
    picks = XSSR(alpha=0.9).select(np.concatenate([near, far]), 1, source).indices
    assert picks[0] >= 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 1.5}, "alpha must be 'auto' or a number from 0 to 1"),
        ({"alpha": "high"}, "alpha must be"),
        ({"combination": "max"}, "combination must be 'product' or 'sum'"),
        ({"neighbours": 0}, "neighbours must be at least 1"),
        ({"grid": ()}, "grid must hold"),
        ({"calibration_budget": 0}, "calibration_budget must be at least 1"),
    ],
)
def test_bad_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        XSSR(**arguments)
