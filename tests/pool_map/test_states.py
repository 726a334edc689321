"""States and the pick order."""

from __future__ import annotations

import pytest

from tests.support.rankings import POOL, ranking
from xssr_strategy.pool_map.states import STYLES, PoolState, letters, pick_order


def test_labelled_then_leased_then_the_worklist() -> None:
    state = PoolState(("i9", "i3"), {"i1": 9.0}, {"i5": "motion"}, {"i6": "damaged"}, ranking(POOL[:8], ["i3", "i9"]))
    order = pick_order(POOL, state)
    assert order.images == ("i9", "i3", "i1", "i0", "i2", "i4", "i7")
    assert order.now == 5  # two of a budget of three are left beside the lease
    assert letters(POOL, state, order) == "nenlpkfppl"


def test_a_budget_that_is_used_up_leaves_no_pick() -> None:
    state = PoolState(("i0", "i1", "i2", "i3"), ranking=ranking(POOL, [], budget=3))
    order = pick_order(POOL, state)
    assert order.now == 4
    assert letters(POOL, state, order) == "llllpppppp"


def test_before_there_is_a_ranking() -> None:
    state = PoolState(("i4",), {"i2": 1.0})
    order = pick_order(POOL, state)
    assert order.images == ("i4", "i2")
    assert order.coverage == (None, None)
    assert letters(POOL, state, order) == "ppeplppppp"


@pytest.mark.parametrize(
    ("labelled", "coverage"),
    [
        ((), [1.0, 0.5, 0.333]),
        (("i0", "i1"), [1.0, 0.5, 0.333]),  # as the worklist says
        (("i1", "i0"), [None, 0.5, 0.333]),  # the other way round
        (("i7",), [None, None, None]),  # another one
    ],
)
def test_the_coverage_is_known_for_what_the_ranking_foresaw(
    labelled: tuple[str, ...], coverage: list[float | None]
) -> None:
    order = pick_order(POOL, PoolState(labelled, ranking=ranking(POOL[:5], [])))
    assert [None if one is None else round(one, 3) for one in order.coverage[:3]] == coverage


def test_labels_before_the_ranking_have_no_coverage() -> None:
    order = pick_order(POOL, PoolState(("i8", "i9"), ranking=ranking(POOL[:3], ["i8", "i9"])))
    assert order.coverage == (None, None, 1.0, 0.5, 1.0 / 3)


def test_every_state_has_a_form_of_its_own() -> None:
    for what in ("letter", "name", "symbol"):
        assert len({getattr(style, what) for style in STYLES}) == len(STYLES), what
    assert len({(style.marker, style.open) for style in STYLES}) == len(STYLES)
