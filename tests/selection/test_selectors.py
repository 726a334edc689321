"""What every selector promises, checked on all of them."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import (
    XSSR,
    ColdStart,
    CoreSet,
    FacilityLocation,
    GraphCoverage,
    KMeans,
    ProbCover,
    Random,
    Selector,
    TypiClust,
)

GREEDY = [  # of these a larger budget extends the smaller
    pytest.param(XSSR(alpha=0.5, combination="sum"), id="xssr-sum"),
    pytest.param(XSSR(calibration_budget=6), id="xssr-calibrated-at-6"),
    pytest.param(CoreSet(), id="coreset"),
    pytest.param(FacilityLocation(), id="facility-location"),
    pytest.param(GraphCoverage(), id="graph-coverage"),
    pytest.param(ProbCover(), id="prob-cover"),
    pytest.param(ProbCover(radius=4.0), id="prob-cover-radius"),
    pytest.param(Random(seed=3), id="random"),
]
SELECTORS = [
    *GREEDY,
    pytest.param(XSSR(), id="xssr"),
    pytest.param(KMeans(seed=3), id="k-means"),
    pytest.param(ColdStart(), id="cold-start", marks=pytest.mark.slow),
    pytest.param(ColdStart("pca", seed=3), id="cold-start-pca", marks=pytest.mark.slow),
    pytest.param(ColdStart("none", max_clusters=3), id="cold-start-none-3"),
    pytest.param(TypiClust(), id="typi-clust"),
    pytest.param(TypiClust(neighbours=3, max_clusters=4), id="typi-clust-4"),
]
every_selector = pytest.mark.parametrize("selector", SELECTORS)


@pytest.fixture
def domains() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(5, 8)) * 4
    target = np.concatenate([centre + rng.normal(size=(20, 8)) for centre in centres])
    return target, centres[0] + rng.normal(size=(15, 8))


@every_selector
def test_exact_budget_no_duplicates_and_labelled_never_returned(selector: Selector, domains) -> None:
    target, source = domains
    labeled = [4, 50, 99]
    selection = selector.select(target, 11, source, labeled)
    assert len(selection.indices) == 11 == len(set(selection.indices.tolist()))
    assert not set(selection.indices.tolist()) & set(labeled)
    assert selection.scores.shape == (11,)
    assert all(values.shape == (11,) for values in selection.terms.values())


@every_selector
def test_pool_order_dtype_and_memory_order_are_irrelevant(selector: Selector, domains) -> None:
    target, source = (values.astype(np.float16) for values in domains)
    expected = selector.select(target, 9, source, [1, 2]).indices
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(target))
        place = np.argsort(order)
        shuffled = selector.select(target[order], 9, source[::-1], place[[1, 2]])
        assert order[shuffled.indices].tolist() == expected.tolist()
    wide = target.astype(np.float64)
    for variant in (target.astype(np.float32), wide, np.asfortranarray(wide), np.repeat(wide, 2, axis=0)[::2]):
        assert selector.select(variant, 9, source, [1, 2]).indices.tolist() == expected.tolist()


@every_selector
def test_input_is_never_modified_and_picks_repeat(selector: Selector, domains) -> None:
    target, source = domains
    before = target.copy(), source.copy()
    first, second = (selector.select(target, 8, source, [0]) for _ in range(2))
    assert first.indices.tolist() == second.indices.tolist()
    np.testing.assert_array_equal(target, before[0])
    np.testing.assert_array_equal(source, before[1])


@pytest.mark.parametrize("selector", GREEDY)
def test_a_larger_budget_extends_the_smaller(selector: Selector, domains) -> None:
    target, source = domains
    small, large = (selector.select(target, budget, source).indices.tolist() for budget in (6, 25))
    assert large[:6] == small


@every_selector
def test_coverage_is_the_distance_to_the_nearest_pick_or_label(selector: Selector, domains) -> None:
    target, source = domains
    selection = selector.select(target, 5, source, [7])
    chosen = target[[*selection.indices, 7]]
    nearest = np.linalg.norm(target[:, None] - chosen[None], axis=2).min(axis=1)
    assert selection.mean_coverage == pytest.approx(nearest.mean())
    assert selection.max_coverage == pytest.approx(nearest.max())


@every_selector
def test_the_whole_pool_and_a_single_image(selector: Selector, domains) -> None:
    target, source = domains
    assert sorted(selector.select(target, len(target), source).indices) == list(range(len(target)))
    assert sorted(selector.select(target, len(target) - 3, source, [5, 6, 70]).indices) == sorted(
        set(range(len(target))) - {5, 6, 70}
    )
    assert selector.select(target[:1], 1, source).indices.tolist() == [0]


@every_selector
def test_duplicates_and_constant_dimensions_do_no_harm(selector: Selector) -> None:
    target = np.zeros((12, 4))
    target[6:, 0] = 1.0
    selection = selector.select(target, 12, target[:3])
    assert sorted(selection.indices) == list(range(12))
    assert np.isfinite(selection.scores).all()
    assert len(set(selector.select(target, 5, target[:3], [0, 11]).indices) - {0, 11}) == 5


@every_selector
@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-30])
def test_a_pool_of_equal_images(selector: Selector, value: float) -> None:
    selection = selector.select(np.full((9, 5), value), 4, labeled=[2])
    assert len(set(selection.indices.tolist()) - {2}) == 4
    assert np.isfinite(selection.scores).all()
    assert selection.max_coverage == 0.0


@every_selector
@pytest.mark.parametrize("scale", [2.0**-100, 2.0**100])
def test_numbers_whose_squares_leave_float32(selector: Selector, scale: float, domains) -> None:
    target, source = (values * scale for values in domains)
    selection = selector.select(target, 7, source, [3])
    assert len(set(selection.indices.tolist()) - {3}) == 7
    assert np.isfinite(selection.scores).all()


@every_selector
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": [["a", "b"]]}, "target must be an array of numbers"),
        ({"target": [1.0, 2.0]}, r"target must have the shape \(images, dimensions\)"),
        ({"target": np.empty((0, 3))}, "target must have the shape"),
        ({"target": [[1.0, np.nan], [0.0, 1.0]]}, "target row 0 holds NaN"),
        ({"source": [[1.0]]}, "source has 1 dimensions and target 2"),
        ({"budget": 0}, "budget 0 is not possible: it must be 1 to 3"),
        ({"budget": -1}, "budget -1 is not possible"),
        ({"budget": 10**9}, "budget 1000000000 is not possible"),
        ({"budget": "5%"}, "budget must be a whole number"),
        ({"budget": 1.5}, "budget must be a whole number"),
        ({"budget": 3, "labeled": [0]}, "must be 1 to 2"),
        ({"labeled": [3]}, "labeled holds 3, but the rows of target run from 0 to 2"),
        ({"labeled": [-1]}, "labeled holds -1"),
        ({"labeled": ["x"]}, "labeled must hold row numbers"),
    ],
)
def test_bad_input_gets_one_clear_sentence(selector: Selector, arguments: dict, message: str) -> None:
    good = {"target": [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], "budget": 1}
    with pytest.raises(ValueError, match=message) as error:
        selector.select(**{**good, **arguments})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("selector", "arguments", "message"),
    [
        (ColdStart, {"reduction": "umap"}, "reduction must be one of tsne, pca, none, not 'umap'"),
        (ColdStart, {"max_clusters": 0}, "max_clusters must be at least 1"),
        (ColdStart, {"seed": 0.5}, "seed must be a whole number"),
        (TypiClust, {"neighbours": 0}, "neighbours must be at least 1, not 0"),
        (TypiClust, {"neighbours": 2.5}, "neighbours must be a whole number"),
        (TypiClust, {"max_clusters": 0}, "max_clusters must be at least 1"),
        (TypiClust, {"seed": -1}, "seed must be from 0 to 4294967295"),
        (KMeans, {"seed": "x"}, "seed must be a whole number"),
        (ProbCover, {"radius": 0.0}, "radius must be 'auto' or a number above 0"),
        (ProbCover, {"radius": "large"}, "radius must be"),
        (ProbCover, {"radius": np.nan}, "radius must be"),
        (ProbCover, {"radius": True}, "radius must be"),
        (ProbCover, {"purity": True}, "purity must be"),
        (ProbCover, {"clusters": 1}, "clusters must be at least 2"),
        (ProbCover, {"purity": 0.0}, "purity must be a number above 0 and at most 1"),
        (ProbCover, {"purity": 1.1}, "purity must be"),
        (ProbCover, {"seed": True}, "seed must be a whole number"),
    ],
)
def test_bad_settings_get_one_clear_sentence(selector: type[Selector], arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        selector(**arguments)
    assert "\n" not in str(error.value)
