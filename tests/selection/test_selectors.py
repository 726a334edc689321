"""What every selector promises, checked on all of them."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import XSSR, CoreSet, Random, Selector

SELECTORS = [
    pytest.param(XSSR(), id="xssr"),
    pytest.param(XSSR(alpha=0.5, combination="sum"), id="xssr-sum"),
    pytest.param(CoreSet(), id="coreset"),
    pytest.param(Random(seed=3), id="random"),
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
    target, source = (values.astype(np.float32) for values in domains)
    expected = selector.select(target, 9, source, [1, 2]).indices
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(target))
        place = np.argsort(order)
        shuffled = selector.select(target[order], 9, source[::-1], place[[1, 2]])
        assert order[shuffled.indices].tolist() == expected.tolist()
    for variant in (target.astype(np.float64), np.asfortranarray(target), np.repeat(target, 2, axis=0)[::2]):
        assert selector.select(variant, 9, source, [1, 2]).indices.tolist() == expected.tolist()


@every_selector
def test_input_is_never_modified_and_picks_repeat(selector: Selector, domains) -> None:
    target, source = domains
    before = target.copy(), source.copy()
    first, second = (selector.select(target, 8, source, [0]) for _ in range(2))
    assert first.indices.tolist() == second.indices.tolist()
    np.testing.assert_array_equal(target, before[0])
    np.testing.assert_array_equal(source, before[1])


@pytest.mark.parametrize("selector", [XSSR(alpha=0.3), XSSR(calibration_budget=6), CoreSet(), Random()])
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
    assert selector.select(target[:1], 1, source).indices.tolist() == [0]


@every_selector
def test_duplicates_and_constant_dimensions_do_no_harm(selector: Selector) -> None:
    target = np.zeros((12, 4))
    target[6:, 0] = 1.0
    selection = selector.select(target, 12, target[:3])
    assert sorted(selection.indices) == list(range(12))
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
