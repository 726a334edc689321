"""float32 finds, float64 decides: the bound that this rests on, and the ranges in which it holds."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import XSSR, CoreSet
from xssr_strategy.selection.backend import NumpyBackend, TorchBackend
from xssr_strategy.selection.points import Points, canonical_order

BACKENDS = [pytest.param(NumpyBackend(), id="numpy"), pytest.param(TorchBackend("cpu"), id="torch")]


def samples(kind: str, dimensions: int) -> np.ndarray:
    rng = np.random.default_rng(dimensions)
    vectors = rng.normal(size=(600, dimensions))
    if kind == "offset":
        vectors += 1e3 * rng.normal(size=dimensions)
    if kind == "sparse":
        vectors *= rng.random(vectors.shape) < 0.1
    if kind == "outlier":
        vectors[0] *= 1e3
    if kind == "alike":  # sums of equal terms are rounded the same way every time
        vectors = (rng.random(vectors.shape) < 0.5) / 3.0
    if kind == "pairs":
        vectors[300:] = vectors[:300] + 1e-5 * rng.normal(size=(300, dimensions))
    return vectors


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dimensions", [1, 2, 8, 64, 256, 1024])
@pytest.mark.parametrize("kind", ["plain", "offset", "sparse", "outlier", "pairs", "alike"])
@pytest.mark.parametrize("picks", [1, 3, 16, 40])
def test_rounding_errors_stay_within_their_bound(
    backend, dimensions: int, kind: str, picks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xssr_strategy.selection.points._PANEL", 256)  # three panels
    points = Points(samples(kind, dimensions), backend)
    places = np.arange(0, 600, 600 // picks)[:picks]
    rows, least = points.squared(places)
    found = backend.numpy(rows).astype(np.float64)
    others = np.arange(600) != places[:, None]
    assert least.tolist() == np.where(others, found, np.inf).min(axis=1).tolist()
    vectors, squares = points.rows(slice(None)), backend.numpy(points.squares).astype(np.float64)
    true = ((vectors[places][:, None] - vectors[None]) ** 2).sum(axis=2)
    assert (np.abs(found - true) <= points.rounding * (squares[places][:, None] + squares) + 1e-12).all()
    assert (found[np.arange(picks), places] == 0.0).all()
    low = np.sqrt(found[found > 0.0].min()) if (found > 0.0).any() else 0.0
    assert (
        np.abs(np.sqrt(found) - np.sqrt(true)).max()
        <= points.error(low, np.sqrt(found).max()) + 1e-6 * np.sqrt(true).max()
    )


def test_near_duplicates_keep_their_distance() -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(50, 64)), 2, axis=0)
    vectors[1::2, 0] += 1e-6
    points = Points(vectors, NumpyBackend())
    squared = points.squared(np.array([0]))[0][0]
    assert np.sqrt(np.sort(squared)[1]) == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e150])
def test_the_unit_does_not_matter(scale: float) -> None:
    rng = np.random.default_rng(1)
    target, source = rng.normal(size=(60, 5)), rng.normal(size=(9, 5))
    for selector in (CoreSet(), XSSR(without=["density"]), XSSR(alpha=0.4, combination="sum", without=["density"])):
        plain = selector.select(target, 12, source, [3])
        scaled = selector.select(target * scale, 12, source * scale, [3])
        assert scaled.indices.tolist() == plain.indices.tolist()
        assert scaled.mean_coverage == pytest.approx(plain.mean_coverage * scale, rel=1e-6)


def test_a_far_origin_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    target, source = rng.integers(0, 50, size=(80, 6)) * 1.0, rng.integers(0, 50, size=(9, 6)) * 1.0
    for selector in (CoreSet(), XSSR()):
        plain = selector.select(target, 20, source).indices.tolist()
        assert selector.select(target + 1e6, 20, source + 1e6).indices.tolist() == plain


def test_canonical_order_is_lexicographic_and_keeps_duplicates_together() -> None:
    rng = np.random.default_rng(3)
    for values in (rng.normal(size=(40, 3)), rng.integers(0, 2, size=(40, 4)) * 1.0, np.ones((5, 2))):
        order = canonical_order(values)
        assert sorted(order.tolist()) == list(range(len(values)))
        assert [tuple(row) for row in values[order]] == sorted(tuple(row) for row in values)


def test_read_only_and_reversed_arrays_are_welcome() -> None:
    target = np.random.default_rng(4).normal(size=(30, 4))
    expected = XSSR().select(target, 5).indices.tolist()
    frozen = target.copy()
    frozen.flags.writeable = False
    assert XSSR().select(frozen, 5).indices.tolist() == expected
    assert [29 - row for row in XSSR().select(target[::-1], 5).indices.tolist()] == expected


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ValueError, match="device 'nothing' cannot be used here"):
        CoreSet(device="nothing").select(np.eye(3), 1)


def test_a_source_out_of_all_proportion_is_no_crash() -> None:
    rng = np.random.default_rng(5)
    target = rng.normal(size=(50, 4))
    for source in (np.array([[0.0] * 4, [1.0] * 4, [1e20] * 4]), np.full((2, 4), 1e200)):
        picks = XSSR(0.5).select(target, 10, source).indices.tolist()
        assert len(set(picks)) == 10
    near = np.array([[0.0] * 4, [1.0] * 4])
    far = np.concatenate([near, np.full((1, 4), 1e12)])
    assert XSSR(0.5).select(target, 10, far).indices.tolist() == XSSR(0.5).select(target, 10, near).indices.tolist()


def test_scores_of_core_set_are_distances_even_among_near_duplicates() -> None:
    rng = np.random.default_rng(6)
    target = np.repeat(rng.normal(size=(6, 8)), 10, axis=0) + 1e-6 * rng.normal(size=(60, 8))
    selection = CoreSet().select(target, 30, labeled=[0])
    for step, pick in enumerate(selection.indices):
        before = target[[0, *selection.indices[:step]]]
        assert selection.scores[step] == pytest.approx(np.linalg.norm(before - target[pick], axis=1).min(), rel=1e-5)


def test_ties_at_distance_zero_go_to_the_first_in_canonical_order() -> None:
    target = np.repeat(np.random.default_rng(7).normal(size=(5, 3)), 200, axis=0)
    picks = CoreSet().select(target, 40).indices
    order = canonical_order(target)
    rest = [row for row in order.tolist() if row not in picks[:5]]
    assert target[picks[5:]].tolist() == target[rest[:35]].tolist()


@pytest.mark.parametrize("selector", [CoreSet(), XSSR(0.0)])
def test_an_outlier_or_tight_groups_cost_little(selector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in vectors that are read as float64; ``benchmarks.selection`` has the seconds."""
    rng = np.random.default_rng(8)
    plain = rng.normal(size=(2000, 64))
    outlier, groups = plain.copy(), np.repeat(plain[:3], 700, axis=0)[:2000] + 1e-6 * plain
    outlier[0] *= 1e5
    rows, read = Points.rows, []

    def counting(points: Points, places: np.ndarray) -> np.ndarray:
        read.append(len(places))
        return rows(points, places)

    monkeypatch.setattr(Points, "rows", counting)

    def exact(target: np.ndarray, picks: int) -> int:
        read.clear()
        assert len(set(selector.select(target, picks).indices.tolist())) == picks
        return sum(read)

    all_with_all_picks = 2 * len(plain) * sum(range(60))  # what float64 alone would read, before every pick
    assert exact(plain, 60) <= 60
    assert exact(outlier, 60) < all_with_all_picks / 4
    assert exact(groups, 60) < all_with_all_picks / 2.5  # each point with the picks of its own of three groups
