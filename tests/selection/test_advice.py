from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.selection import XSSR, CoreSet, advise, coverage_curve


@pytest.mark.parametrize("labeled", [[], [2, 50]])
def test_the_curve_is_the_coverage_of_every_prefix(labeled) -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(90, 5)) * 1e3
    picks = [row for row in rng.permutation(90)[:70].tolist() if row not in labeled]
    mean, largest = coverage_curve(target, picks, labeled)
    assert len(mean) == len(picks)
    for count in (1, 2, 31, 32, 33, len(picks)):
        nearest = np.linalg.norm(target[:, None] - target[[*labeled, *picks[:count]]][None], axis=2).min(axis=1)
        assert mean[count - 1] == pytest.approx(nearest.mean(), rel=1e-5)
        assert largest[count - 1] == pytest.approx(nearest.max(), rel=1e-5)
    assert (np.diff(mean) <= 0).all()


def test_the_curve_ends_where_the_selection_says() -> None:
    target = np.random.default_rng(1).normal(size=(60, 8))
    selection = CoreSet().select(target, 12, labeled=[5])
    mean, largest = coverage_curve(target, selection.indices, [5])
    assert (mean[-1], largest[-1]) == pytest.approx((selection.mean_coverage, selection.max_coverage), rel=1e-6)


def test_tight_groups_are_worth_one_image_each() -> None:
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(5, 6)) * 10
    target = np.concatenate([centre + rng.normal(size=(20, 6)) * 1e-2 for centre in centres])
    mean, _ = coverage_curve(target, XSSR(0.0).select(target, 100).indices)
    assert advise(mean, 5, 100, alone=mean[0]).worthwhile == 5


def test_the_advice_names_the_last_pick_that_is_worth_it() -> None:
    curve = [1.0, 0.8, 0.5, 0.499, 0.49, 0.4899]
    advice = advise(curve, 2, 100, alone=1.0)
    assert advice.worthwhile == 3
    assert advice.text == (
        "2 of 100 images cover the pool to a mean distance of 0.800, one image to 1.000; "
        "from 4 on each further image adds less than 1% of the latter."
    )
    later = advise(curve, 2, 100, alone=2.0, labelled=10)
    assert later.worthwhile == 13
    assert later.text.startswith("12 of 100 images")
    assert advise(curve, 2, 100, alone=0.4, labelled=10).worthwhile == 15
    assert advise(curve, 1, 100, alone=1.0, share=0.5).worthwhile == 1
    assert advise([0.0, 0.0], 1, 100, alone=0.0).worthwhile == 1  # all images are alike


def test_a_curve_that_is_too_short_says_so() -> None:
    advice = advise([1.0, 0.8, 0.6], 2, 100, alone=1.0)
    assert advice.worthwhile is None
    assert advice.text.endswith("up to 3 there are images that add 1% of the latter or more.")
    assert advise([1.0, 0.8, 0.0], 2, 3, alone=1.0).worthwhile == 3


@pytest.mark.parametrize("budget", [0, 4])
def test_a_budget_beyond_the_curve_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match="budget must be 1 to 3"):
        advise([1.0, 0.8, 0.6], budget, 100, 1.0)
    with pytest.raises(ValueError, match="coverage must hold the value after at least one pick"):
        advise([], budget, 100, 1.0)
