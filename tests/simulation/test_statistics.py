"""Known answers: what the intervals and verdicts say of scores that were made for it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.support.synthetic import facts, result
from xssr_strategy.simulation.bootstrap import Estimate, resampled_means
from xssr_strategy.simulation.report_numbers import answer, needed_rows, numbers_of
from xssr_strategy.simulation.results import JobResult
from xssr_strategy.simulation.scores import Scores, gather, paired
from xssr_strategy.simulation.statistics import (
    Comparison,
    compare,
    decided_draws,
    labels_needed,
    percent_of_full,
    verdicts,
)

NAN = math.nan
FACTS = facts({"image_00": "a.png"})


def column(values: np.ndarray) -> list[list[float]]:
    """(cases,) scores of a single label."""
    return [[float(value)] for value in values]


def grid(strategy: str, values: np.ndarray, budget: int = 4) -> list[JobResult]:
    """A job for every draw and seed of (draws, seeds, cases)."""
    return [
        result(strategy, column(cases), budget, seed, draw)
        for draw, seeds in enumerate(values)
        for seed, cases in enumerate(seeds)
    ]


def scores(strategy: str, values: np.ndarray) -> Scores:
    """The same without jobs."""
    names = [tuple(range(side)) for side in values.shape]
    return Scores(strategy, 4, "dice", names[0], names[1], tuple(str(case) for case in names[2]), values)


def dice_of(results: list[JobResult]) -> Comparison:
    """The comparison of xssr to random in Dice."""
    (found,) = [one for one in verdicts(FACTS, results) if (one.against, one.metric) == ("random", "dice")]
    return found


def test_a_constant_shift_is_found_exactly() -> None:
    base = np.random.default_rng(0).uniform(0.5, 0.9, (1, 3, 10))
    dice, hd95 = verdicts(FACTS, grid("xssr", base + 0.02) + grid("random", base.repeat(4, axis=0)))
    assert dice.difference.value == pytest.approx(0.02)
    assert (dice.difference.low, dice.difference.high) == pytest.approx((0.02, 0.02))
    assert (dice.verdict, dice.beaten, dice.draws, dice.seeds, dice.cases) == ("better", 4, 4, 3, 10)
    assert (hd95.metric, hd95.verdict, hd95.beaten) == ("hd95", "better", 4)
    assert hd95.difference.high == pytest.approx(-0.2)  # less is better

    worse = dice_of(grid("xssr", base - 0.02) + grid("random", base.repeat(4, axis=0)))
    assert (worse.verdict, worse.beaten) == ("worse", 0)


def test_the_same_scores_show_no_difference_in_spite_of_rounding() -> None:
    base = np.random.default_rng(0).uniform(0.1, 0.9, (1, 3, 10))
    same = dice_of(grid("xssr", base) + grid("random", base.repeat(3, axis=0)))
    assert (same.difference.low, same.difference.high) == (0.0, 0.0)
    assert (same.verdict, same.beaten) == ("no difference can be shown", 0)
    assert "level with the mean of 3 random draws" in same.sentence


def test_what_both_sides_share_cancels() -> None:
    rng = np.random.default_rng(1)
    shared = 0.7 + rng.normal(0.0, 0.1, (1, 1, 30)) + rng.normal(0.0, 0.05, (1, 5, 1))
    noise = rng.normal(0.0, 0.002, (2, 1, 5, 30))
    gap = dice_of(grid("xssr", shared + 0.005 + noise[0]) + grid("random", shared + noise[1])).difference
    assert gap.high - gap.low < 0.003
    assert gap.low < 0.005 < gap.high
    # The same scores with the seeds of one side in another order are no longer paired.
    mixed = grid("xssr", shared[:, [4, 0, 1, 2, 3]] + 0.005) + grid("random", shared)
    loose = dice_of(mixed).difference
    assert loose.high - loose.low > 5 * (gap.high - gap.low)


def test_draws_widen_the_interval() -> None:
    base = np.random.default_rng(2).uniform(0.6, 0.9, (1, 3, 20))
    draws = np.array([-0.05, 0.0, 0.05])[:, None, None]
    gap = dice_of(grid("xssr", base) + grid("random", base + draws)).difference
    assert gap.value == pytest.approx(0.0, abs=1e-12)
    assert gap.low == pytest.approx(-0.033, abs=0.02)
    assert gap.high == pytest.approx(0.033, abs=0.02)


def test_cases_of_one_patient_are_resampled_together() -> None:
    """Ten copies of a patient's case say no more than one: the interval is that of the patients."""
    rng = np.random.default_rng(4)
    base, gain = rng.uniform(0.5, 0.9, (1, 3, 6)), rng.normal(0.01, 0.02, (1, 1, 6))
    one, other = scores("xssr", base + gain), scores("random", base)
    copies = [scores(side.strategy, side.values.repeat(10, axis=2)) for side in (one, other)]
    patients = {str(case): f"p{case // 10}" for case in range(60)}
    alone = compare(one, other, "mm")
    loose = compare(*copies, "mm")
    known = compare(*(dataclasses.replace(side, patients=patients) for side in copies), "mm")
    assert alone is not None
    assert loose is not None
    assert known is not None
    assert known.difference == alone.difference
    assert (known.cases, known.patients, alone.patients, loose.patients) == (60, 6, 6, 60)
    width, narrow = (found.difference.high - found.difference.low for found in (known, loose))
    assert width / narrow == pytest.approx(10**0.5, rel=0.1)
    assert "The interval is over the 6 patients of the 60 test cases." in known.sentence
    assert "patients" not in loose.sentence


def test_a_patient_with_many_cases_weighs_as_they_do() -> None:
    """Known answer: a patient with three cases and one with a single case, drawn twice with replacement."""
    values = np.array([[[0.1, 0.1, 0.1, 0.5]]])
    one, other = (
        dataclasses.replace(scores(name, side), patients={"0": "p", "1": "p", "2": "p"})
        for name, side in (("xssr", values), ("random", 0 * values))
    )
    pair = paired(one, other)
    assert pair is not None
    means, _ = resampled_means(pair)
    found, counts = np.unique(means.round(6), return_counts=True)
    assert found.tolist() == [0.1, 0.2, 0.5]
    assert counts / len(means) == pytest.approx([0.25, 0.5, 0.25], abs=0.02)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """With 5 seeds, of which the interval knows only what it saw, a little less than 95 %."""
    rng, hits, runs = np.random.default_rng(3), 0, 200
    for _ in range(runs):
        hardness, luck = rng.normal(0.8, 0.1, (1, 1, 40)), rng.normal(0.0, 0.02, (1, 5, 1))
        per_case = 0.01 + rng.normal(0.0, 0.02, (1, 1, 40))
        draws = rng.normal(0.0, 0.004, (10, 1, 1))
        one = hardness + luck + per_case + rng.normal(0.0, 0.004, (1, 5, 1)) + rng.normal(0.0, 0.01, (1, 5, 40))
        other = hardness + luck + draws + rng.normal(0.0, 0.01, (10, 5, 40))
        found = compare(scores("xssr", one), scores("random", other), "mm")
        assert found is not None
        gap = found.difference
        hits += gap.low <= 0.01 <= gap.high
    assert 0.89 <= hits / runs <= 0.99


def test_draws_that_differ_by_luck_alone_show_how_much_a_single_set_proves() -> None:
    base = np.random.default_rng(6).uniform(0.6, 0.9, (1, 3, 20))
    shifts = np.array([0.0, 0.01, 0.02])[:, None, None]
    assert decided_draws(gather(grid("random", base + shifts), "dice"), 4) == (
        2,
        3,
    )  # that in the middle is as the rest
    assert decided_draws(gather(grid("random", base.repeat(5, axis=0)), "dice"), 4) == (0, 5)
    assert decided_draws(gather(grid("random", base + shifts[:2]), "dice"), 4) == (0, 0)
    assert decided_draws(gather(grid("random", base + shifts), "dice"), 8) == (0, 0)


def test_labels_come_before_cases_and_what_is_not_there_does_not_count() -> None:
    dice = [[0.5, NAN], [0.9, 0.7], [NAN, NAN]]
    found = gather([result("xssr", dice)], "dice")["xssr", 4]
    assert found.mean == pytest.approx((0.5 + 0.8) / 2)
    assert found.spread is None
    base = dice_of([result("xssr", dice), result("random", [[0.4, NAN], [0.8, 0.6], [NAN, NAN]])])
    assert base.cases == 2
    assert base.difference.value == pytest.approx(0.1)


def test_a_case_without_a_score_in_one_job_is_left_out_of_all() -> None:
    jobs = [result("xssr", [[0.9], [0.5]]), result("random", [[0.8], [NAN]])]
    assert dice_of(jobs).difference.value == pytest.approx(0.1)
    assert dice_of(jobs).cases == 1
    nothing = [result("xssr", [[NAN], [0.5]]), result("random", [[0.8], [NAN]])]
    assert verdicts(FACTS, nothing) == []


def test_the_spread_is_over_seeds_and_draws() -> None:
    found = gather(grid("random", np.array([[[0.1, 0.3], [0.4, 0.4]], [[0.6, 0.6], [0.8, 0.8]]])), "dice")["random", 4]
    assert found.mean == pytest.approx(0.5)
    assert found.spread == pytest.approx(np.std([0.2, 0.4, 0.6, 0.8], ddof=1))


def test_one_seed_is_said() -> None:
    rng = np.random.default_rng(4)
    jobs = grid("xssr", rng.uniform(0.8, 0.9, (1, 1, 20))) + grid("random", rng.uniform(0.6, 0.7, (3, 1, 20)))
    jobs += grid("coreset", rng.uniform(0.6, 0.7, (1, 1, 20)))
    found = {(one.strategy, one.against): one.sentence for one in verdicts(FACTS, jobs) if one.metric == "dice"}
    assert found["xssr", "random"].endswith("the interval covers the test cases and the draws only, not the training.")
    assert found["xssr", "coreset"].endswith("the interval covers the test cases only, not the training.")
    several = dice_of(grid("xssr", np.full((1, 2, 3), 0.9)) + grid("random", np.full((1, 2, 3), 0.8)))
    assert "training seed" not in several.sentence


def test_the_sentences() -> None:
    one = Comparison(
        strategy="xssr",
        method="supervised",
        against="random",
        against_method="supervised",
        budget=22,
        metric="dice",
        unit="points",
        mean=0.9451,
        difference=Estimate(0.0062, 0.0021, 0.0098),
        seeds=5,
        cases=100,
        patients=100,
        draws=10,
        own_draws=1,
        beaten=9,
    )
    assert one.sentence == (
        "xssr with 22 labels: Dice 0.945, 0.6 points above the mean of 10 random draws "
        "(95 % interval +0.2 to +1.0): better. It beats 9 of the 10 draws."
    )
    unclear = dataclasses.replace(one, budget=1, draws=1, beaten=0, difference=Estimate(-0.003, -0.01, 0.004))
    assert unclear.sentence == (
        "xssr with 1 label: Dice 0.945, 0.3 points below one random draw "
        "(95 % interval -1.0 to +0.4): no difference can be shown."
    )
    far = dataclasses.replace(
        one, against="coreset", metric="hd95", unit="mm", mean=5.24, difference=Estimate(0.71, 0.02, 1.4), draws=1
    )
    assert far.sentence == (
        "xssr with 22 labels: HD95 5.2 mm, 0.71 mm above coreset (95 % interval +0.02 to +1.40): worse."
    )


def test_every_strategy_meets_random_and_the_default_one_every_other() -> None:
    jobs = [
        result(strategy, [[0.8], [0.9]], budget)
        for strategy in ("xssr", "coreset", "random", "full", "source-only")
        for budget in (4, 8)
        if (strategy, budget) != ("coreset", 8)
    ]
    found = [(one.strategy, one.against, one.budget) for one in verdicts(FACTS, jobs) if one.metric == "dice"]
    assert found == [
        ("xssr", "random", 4),
        ("xssr", "random", 8),
        ("coreset", "random", 4),
        ("xssr", "coreset", 4),
    ]


def test_the_order_of_the_results_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    jobs = grid("xssr", rng.uniform(size=(1, 3, 8))) + grid("random", rng.uniform(size=(4, 3, 8)))
    assert verdicts(FACTS, jobs) == verdicts(FACTS, jobs[::-1])


def test_of_an_unfinished_run_the_largest_whole_part_is_compared() -> None:
    values = np.arange(36.0).reshape(4, 3, 3) / 100.0
    finished = [one for one in grid("random", values) if (one.job.draw, one.job.seed) not in [(2, 2), (3, 2)]]
    table = gather(grid("xssr", values[:1]) + finished, "dice")
    sides = paired(table["xssr", 4], table["random", 4])
    assert sides is not None
    np.testing.assert_allclose(sides.one, values[:1, :2])  # four draws with two seeds are more than two with three
    np.testing.assert_allclose(sides.other, values[:, :2])
    other = gather([result("xssr", [[0.9]], seed=1)], "dice")["xssr", 4]
    assert paired(other, gather([result("random", [[0.8]], seed=0)], "dice")["random", 4]) is None
    assert compare(other, gather([result("random", [[0.8]], seed=0)], "dice")["random", 4], "mm") is None


def test_per_cent_of_full_data_and_the_labels_that_suffice() -> None:
    full = np.full((1, 2, 5), 0.8)
    jobs = grid("full", full, 40) + grid("xssr", 0.9 * full, 4) + grid("xssr", 0.991 * full, 8)
    table = gather(jobs + grid("xssr", full, 16) + grid("coreset", 0.98 * full, 16), "dice")
    share = percent_of_full(table, "xssr", 4)
    assert share is not None
    assert (share.value, share.low, share.high) == pytest.approx((90.0, 90.0, 90.0))
    assert labels_needed(table, "xssr") == (8, [])
    assert labels_needed(table, "coreset") == (None, [])
    assert percent_of_full(gather(grid("xssr", full), "dice"), "xssr", 4) is None


def test_the_labels_that_suffice_tell_which_larger_numbers_do_not() -> None:
    full = np.full((1, 2, 5), 0.8)
    jobs = grid("full", full, 40)
    for budget, share in ((4, 0.9), (8, 0.991), (12, 0.98), (16, 0.995), (20, 0.97)):
        jobs += grid("xssr", share * full, budget)
    assert labels_needed(gather(jobs, "dice"), "xssr") == (8, [12, 20])
    numbers = numbers_of(FACTS, jobs)
    assert needed_rows(numbers) == [["xssr", "8 (but not 20)", "8 (but not 12 and 20)", "16 (but not 20)"]]
    assert answer(numbers)[-1].note.endswith("xssr gets there; with 12 and 20 it does not")
