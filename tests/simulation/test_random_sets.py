"""A set's place among random sets, counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.support.synthetic import facts, result
from xssr_strategy.simulation.random_sets import WORST_SITE, SetRank, set_ranks
from xssr_strategy.simulation.results import JobResult, Site

NAN = float("nan")
ONE_SITE = (Site("north", ("image_00",), ("case_00", "case_01"), None),)
TWO_SITES = (Site("north", ("image_00",), ("case_00",), None), Site("south", (), ("case_01",), None))


def ranks(
    results: Sequence[JobResult], sites: Sequence[Site] = ONE_SITE, labels: Sequence[str] = ("lung",)
) -> dict[tuple[str, str], SetRank]:
    described = facts({"image_00": "a.png"}, labels=labels, sites=tuple(sites))
    return {(one.strategy, one.part): one for one in set_ranks(described, results)}


def draws(*levels: float, seed: int = 0, shift: float = 0.0) -> list[JobResult]:
    return [
        result("random", [[level + shift], [level + shift]], seed=seed, draw=draw) for draw, level in enumerate(levels)
    ]


def test_percentile_counts_the_worse_ones_and_half_of_the_equal_ones() -> None:
    found = ranks([result("xssr", [[0.8], [0.6]]), *draws(0.5, 0.6, 0.7, 0.9)])["xssr", ""]
    assert found.percentile == 100 * 2.5 / 4
    assert (found.dice, found.worst, found.best, found.draws, found.sets) == (pytest.approx(0.7), 0.5, 0.9, 4, 1)
    assert found.random == pytest.approx(0.675)
    assert found.sentence == (
        "The 4 images that xssr picks train a better network than 62 % of 4 random sets of that size: Dice 0.700; "
        "random sets 0.500 to 0.900, mean 0.675."
    )


def test_a_set_is_worth_the_mean_of_its_seeds() -> None:
    # Seed 1 is lucky for the strategy, seed 0 is not: 0.65 on average, above two of three.
    results = [result("xssr", [[0.5], [0.5]]), result("xssr", [[0.8], [0.8]], seed=1)]
    random = [*draws(0.6, 0.6, 0.7), *draws(0.6, 0.6, 0.7, seed=1)]
    found = ranks([*results, *random])["xssr", ""]
    assert (found.sets, found.seeds, found.percentile) == (1, 2, pytest.approx(100 * 2 / 3))


def test_sets_of_their_own_are_ranked_among_the_trainings_of_their_seed() -> None:
    # All trainings of seed 1 are better by 0.2: without the pairing the first set would be the worst of all.
    results = [
        result("kmeans", [[0.65], [0.65]], picks=("image_00",)),
        result("kmeans", [[0.75], [0.75]], seed=1, picks=("image_01",)),
    ]
    random = [*draws(0.5, 0.6, 0.7), *draws(0.5, 0.6, 0.7, seed=1, shift=0.2)]
    found = ranks([*results, *random])["kmeans", ""]
    assert (found.sets, found.percentile) == (2, pytest.approx((100 * 2 / 3 + 100 / 3) / 2))
    assert found.worst == pytest.approx(0.6)  # of 0.5 and 0.7


def test_draws_that_lack_a_training_are_left_out() -> None:
    results = [result("xssr", [[0.65], [0.65]]), result("xssr", [[0.65], [0.65]], seed=1)]
    found = ranks([*results, *draws(0.5, 0.6, 0.7), *draws(0.5, 0.6, seed=1)])["xssr", ""]
    assert (found.draws, found.percentile) == (2, 100.0)


def test_while_trainings_are_missing_the_most_complete_part_counts() -> None:
    # Seed 0 has four draws, seeds 1 and 2 one each: four trainings of one seed say more of a place than one of three.
    results = [result("xssr", [[0.65], [0.65]], seed=seed) for seed in range(3)]
    found = ranks([*results, *draws(0.5, 0.6, 0.7, 0.8), *draws(0.9, seed=1), *draws(0.9, seed=2)])["xssr", ""]
    assert (found.draws, found.percentile) == (4, 50.0)


def test_sets_beside_other_draws_are_ranked_apart() -> None:
    results = [result("xssr", [[0.65], [0.65]]), result("xssr", [[0.65], [0.65]], seed=1)]
    random = [*draws(0.6, 0.7), *(replace(one, picks=("image_09",)) for one in draws(0.5, 0.6, seed=1))]
    found = ranks([*results, *random])["xssr", ""]
    assert (found.sets, found.percentile) == (2, 75.0)


def test_a_case_without_a_score_counts_for_nobody() -> None:
    found = ranks([result("xssr", [[0.8], [NAN]]), *draws(0.5, 0.9)])["xssr", ""]
    assert (found.dice, found.percentile) == (pytest.approx(0.8), 50.0)


def test_each_label_and_each_site_is_ranked_alone() -> None:
    both = [[0.9, 0.3], [0.9, 0.3]]
    found = ranks([result("xssr", both), result("random", [[0.6, 0.4]] * 2)], labels=("liver", "spleen"))
    assert {part: one.percentile for (_, part), one in found.items()} == {
        "": 100.0,
        "label liver": 100.0,
        "label spleen": 0.0,
    }

    results = [
        result("xssr", [[0.9], [0.5]]),
        result("random", [[0.7], [0.6]]),
        result("random", [[0.4], [0.8]], draw=1),
    ]
    found = ranks(results, TWO_SITES)
    assert {part: one.percentile for (_, part), one in found.items()} == {
        "": 100.0,
        "site north": 100.0,
        "site south": 0.0,
        WORST_SITE: 50.0,  # 0.5 against 0.6, of the south, and 0.4, of the north
    }
    assert (found["xssr", WORST_SITE].dice, found["xssr", WORST_SITE].random) == (0.5, pytest.approx(0.5))


def test_nothing_is_ranked_without_random_sets_of_that_size() -> None:
    assert ranks([result("xssr", [[0.9], [0.5]]), result("random", [[0.7], [0.6]], budget=8)]) == {}
    assert ranks([result("full", [[0.9], [0.5]], budget=40), *draws(0.5)]) == {}


def test_sets_drawn_by_the_same_law_are_spread_evenly() -> None:
    """The percentile of one draw more among a hundred is uniform: mean 50, and a tenth above 90."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        levels = rng.normal(0.8, 0.05, 31)
        found.append(ranks([result("xssr", [[levels[0]]] * 2), *draws(*levels[1:])])["xssr", ""].percentile)
    assert abs(np.mean(found) - 50) < 6
    assert 0.04 < np.mean(np.array(found) > 90) < 0.17
