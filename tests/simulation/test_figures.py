"""What a figure says: matplotlib keeps every text of an SVG in a comment beside its outlines."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib
import pytest

from tests.support.synthetic import facts, result
from xssr_strategy.simulation import figures
from xssr_strategy.simulation.results import JobResult
from xssr_strategy.simulation.scores import gather
from xssr_strategy.simulation.statistics import verdicts

FACTS = facts({"image_00": "a.png"})


def texts(svg: str | None) -> list[str]:
    assert svg is not None
    ET.fromstring(svg)  # noqa: S314  # our own
    return re.findall(r"<!-- (.*?) -->", svg)


def run(strategy: str, *levels: tuple[int, float]) -> list[JobResult]:
    """Two seeds at every (budget, Dice)."""
    return [result(strategy, [[dice], [dice + 0.02]], budget, seed) for budget, dice in levels for seed in range(2)]


def test_curves_name_every_strategy_in_order() -> None:
    jobs = run("random", (4, 0.7), (40, 0.8)) + run("coreset", (4, 0.7), (40, 0.8)) + run("xssr", (4, 0.75), (40, 0.85))
    found = texts(figures.learning_curves(gather(jobs + run("full", (400, 0.9)), "dice"), "xssr"))
    assert found[-5:] == ["xssr", "coreset", "random", "full (400): 0.910", "99 % of full"]
    assert {"4", "40", "annotated images"} <= set(found)


@pytest.mark.parametrize(("level", "words"), [(0.2, "source-only: 0.210, off the axis"), (0.68, "source-only: 0.690")])
def test_a_far_level_does_not_squeeze_the_curves(level: float, words: str) -> None:
    jobs = run("xssr", (4, 0.7), (8, 0.8)) + run("source-only", (0, level))
    assert words in texts(figures.learning_curves(gather(jobs, "dice"), "xssr"))


def test_a_single_budget_has_a_row_for_every_strategy() -> None:
    jobs = run("random", (22, 0.7)) + run("xssr", (22, 0.75))
    found = texts(figures.learning_curves(gather(jobs, "dice"), "xssr"))
    assert "mean Dice on the test cases, 22 labels" in found
    assert [text for text in found if text in ("xssr", "random")] == ["xssr", "random"]


def test_the_forest_tells_numbers_and_verdicts() -> None:
    jobs = run("random", (22, 0.7)) + run("xssr", (22, 0.75)) + run("coreset", (22, 0.7))
    dice, hd95 = ([one for one in verdicts(FACTS, jobs) if one.metric == metric and one.against == "random"]
                  for metric in ("dice", "hd95"))  # fmt: skip
    found = texts(figures.differences(dice, ["xssr", "coreset", "random"]))
    assert "+5.0 [+5.0, +5.0] better" in found
    assert "+0.00 [+0.00, +0.00] " in found
    assert "Dice with 22 labels: difference to random in points; right of 0 is better" in found
    assert any("left of 0 is better" in text for text in texts(figures.differences(hd95, ["xssr", "coreset"])))


def test_calibration_marks_what_was_chosen() -> None:
    curve = ((0.0, 2.0, 3.0), (0.1, 1.0, 3.0), (0.2, 1.5, 3.0))
    one = result("xssr", [[0.5]], alpha=0.1, calibration=curve)
    found = texts(figures.calibration_curve({("xssr", 4): one, ("coreset", 4): result("coreset", [[0.5]])}))
    assert "xssr, 4: alpha 0.10" in found
    assert not any("coreset" in text for text in found)
    assert "100" in found  # the largest is twice the smallest
    assert figures.calibration_curve({("coreset", 4): result("coreset", [[0.5]])}) is None


def test_nothing_run_is_no_figure() -> None:
    assert figures.learning_curves(gather(run("full", (40, 0.9)), "dice"), "xssr") is None


def test_looks_differ_and_random_keeps_its_own() -> None:
    names = [f"strategy {place}" for place in range(14)]
    found = figures.looks([*names, "random"])
    assert len(set(found.values())) == 15
    assert figures.looks(["random", "xssr"])["random"] == found["random"]
    assert len({(look.marker, look.filled) for look in found.values()}) == 15  # told apart without colours


def test_the_same_every_time_and_no_setting_stays() -> None:
    table = gather(run("x$y_$", (4, 0.7), (8, 0.8)), "dice")
    before = dict(matplotlib.rcParams)
    first = figures.learning_curves(table, "xssr")
    assert first == figures.learning_curves(table, "xssr")
    assert dict(matplotlib.rcParams) == before
    assert "x$y_$" in texts(first)


def test_many_budgets_share_the_ticks() -> None:
    found = texts(
        figures.learning_curves(gather(run("xssr", *((5 + place, 0.7) for place in range(90))), "dice"), "xssr")
    )
    ticks = [text for text in found if text.isdigit()]
    assert ticks[0] == "5"
    assert 6 <= len(ticks) <= 8
