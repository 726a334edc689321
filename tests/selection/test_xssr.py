"""XSSR against a slow reference that is written straight from the formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xssr_strategy.selection import XSSR, CoreSet, Random
from xssr_strategy.selection.xssr import best_alpha


def cuda() -> bool:
    return torch.cuda.is_available()


def reference(target, source, budget, labeled, alpha, combination, without=(), neighbours=20):
    """Pick by pick, image by image, as the module's docstring says it; ties by its rule."""
    size = len(target)
    novel, diverse = source is not None and "novelty" not in without, "diversity" not in without
    alpha = alpha if novel and diverse else 0.0 if diverse else 1.0
    distance = [[float(np.sqrt(((a - b) ** 2).sum())) for b in target] for a in target]
    count = min(neighbours, size // 2)
    density = []
    for i in range(size):
        others = sorted(distance[i][j] for j in range(size) if j != i)[:count]
        density.append(1 / (np.mean(others) + 1e-5) if count else 1.0)
    novelty = [min(np.sqrt(((t - s) ** 2).sum()) for s in source) if novel else 0.0 for t in target]

    def scaled(values, candidates):
        low, high = min(values[i] for i in candidates), max(values[i] for i in candidates)
        return {i: (values[i] - low) / (high - low) if high - low > 1e-12 * high else 0.0 for i in candidates}

    chosen, picks = list(labeled), []
    while len(picks) < budget:
        candidates = [i for i in range(size) if i not in chosen]
        rho, nu = scaled(density, candidates), scaled(novelty, candidates)
        if "density" in without:
            rho = dict.fromkeys(candidates, 1.0 if combination == "product" else 0.0)
        if chosen:
            delta = scaled([min(distance[i][j] for j in chosen) for i in range(size)], candidates)
        else:
            delta = dict.fromkeys(candidates, 1.0)
        weight = 1 - alpha if diverse else 0.0
        trade = {i: alpha * nu[i] + weight * delta[i] for i in candidates}
        if not novel and not diverse:
            trade = dict.fromkeys(candidates, 1.0 if combination == "product" else 0.0)
        score = {i: rho[i] * trade[i] if combination == "product" else rho[i] + trade[i] for i in candidates}
        best = max(score.values())
        tied = [i for i in candidates if score[i] >= best - 1e-10]
        farthest = max(delta[i] for i in tied)
        tied = [i for i in tied if delta[i] >= farthest - 1e-10]
        picks.append(min(tied, key=lambda i: (*target[i], i)))
        chosen.append(picks[-1])
    return picks


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 30),
    kind=st.sampled_from(["plain", "outliers", "grid", "duplicates", "float16"]),
    alpha=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
    combination=st.sampled_from(["product", "sum"]),
    without=st.sets(st.sampled_from(["density", "novelty", "diversity"])),
    with_source=st.booleans(),
    labels=st.integers(0, 3),
)
def test_equals_the_reference_pick_by_pick(seed, size, kind, alpha, combination, without, with_source, labels) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(size, 3))
    if kind == "outliers":
        target *= rng.choice([1.0, 50.0], size=(size, 1), p=[0.9, 0.1])
    if kind == "grid":
        target = np.round(target * 2)
    if kind == "duplicates":
        target = target[rng.integers(0, size, size)]
    if kind == "float16":
        target = target.astype(np.float16)
    source = rng.normal(size=(4, 3)) if with_source else None
    labeled = rng.choice(size, min(labels, size - 1), replace=False).tolist()
    budget = int(rng.integers(1, size - len(labeled) + 1))
    expected = reference(target.astype(np.float64), source, budget, labeled, alpha, combination, without)
    for device in (None, "cpu"):
        xssr = XSSR(alpha, combination, without=without, device=device)
        selection = xssr.select(target, budget, source, labeled)
        assert target[selection.indices].tolist() == target[expected].tolist()  # duplicates are interchangeable


@pytest.mark.parametrize(
    "device", [None, "cpu", pytest.param("cuda", marks=pytest.mark.skipif(not cuda(), reason="there is no GPU"))]
)
def test_every_device_picks_what_float64_picks(device) -> None:
    """At a size at which float32 alone would go astray: there are near-ties at every tenth pick."""
    rng = np.random.default_rng(3)
    target = rng.normal(size=(1500, 32)).astype(np.float32)
    source = rng.normal(size=(50, 32)).astype(np.float32) + 0.5
    rho, nu = XSSR().terms(target, source).density, XSSR().terms(target, source).novelty
    selection = XSSR(0.3, device=device).select(target, 300, source)
    nearest, free = np.full(1500, np.inf), np.ones(1500, dtype=bool)

    def scaled(values):
        return (values - values[free].min()) / np.ptp(values[free])

    for step, pick in enumerate(selection.indices):
        delta = scaled(nearest) if step else np.ones(1500)
        score = np.where(free, scaled(rho) * (0.3 * scaled(nu) + 0.7 * delta), -1.0)
        assert pick == score.argmax()
        assert selection.scores[step] == pytest.approx(score[pick], abs=1e-5)
        free[pick] = False
        nearest = np.minimum(nearest, np.linalg.norm(target.astype(np.float64) - target[pick], axis=1))
    if device is not None:
        there, here = CoreSet(device=device).select(target, 200), CoreSet().select(target, 200)
        assert there.indices.tolist() == here.indices.tolist()
        assert there.mean_coverage == pytest.approx(here.mean_coverage, rel=1e-6)


def test_union_counts_what_the_source_covers() -> None:
    target, source = blobs()
    plain, union = (XSSR(coverage=coverage).select(target, 12, source) for coverage in ("target", "union"))
    familiar = np.linalg.norm(target[:, None] - source[None], axis=2).min(axis=1)
    for alpha, mean, largest in union.calibration:
        picks = target[XSSR(alpha).select(target, 12, source).indices]
        nearest = np.minimum(familiar, np.linalg.norm(target[:, None] - picks[None], axis=2).min(axis=1))
        assert (mean, largest) == pytest.approx((nearest.mean(), nearest.max()), rel=1e-6)
    assert union.alpha == min(union.calibration, key=lambda point: point[1])[0]
    assert all(here[1] <= there[1] for here, there in zip(union.calibration, plain.calibration, strict=True))


def test_coverages_that_agree_to_six_digits_are_ties() -> None:
    curve = [(0.2, 1.0, 3.0), (0.0, 1.0 + 1e-8, 3.0), (0.5, 1.0, 2.0), (0.1, 1.0 - 1e-8, 2.0 + 1e-8), (0.9, 1.1, 1.0)]
    assert best_alpha(curve) == 3
    assert best_alpha([(0.0, 1.0, 3.0), (0.1, 1.0 - 1e-5, 9.0)]) == 1


def test_a_longer_ranking_keeps_the_alpha_and_the_picks_of_its_budget() -> None:
    target, source = blobs()
    short = XSSR().select(target, 12, source)
    for budget in (5, 40):
        other = XSSR(calibration_budget=12).select(target, budget, source)
        assert (other.alpha, other.calibration) == (short.alpha, short.calibration)
        count = min(budget, 12)
        assert other.indices[:count].tolist() == short.indices[:count].tolist()
    assert XSSR(short.alpha).select(target, 40, source).indices.tolist() == other.indices.tolist()
    assert other.mean_coverage < short.mean_coverage


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
        ({"without": ["typicality"]}, "without must hold names among density, novelty and diversity"),
        ({"without": "density"}, "without must hold names"),
        ({"coverage": "source"}, "coverage must be 'target' or 'union'"),
    ],
)
def test_bad_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        XSSR(**arguments)
