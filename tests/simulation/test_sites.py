"""A number for each site of the test cases, in the report and in the tables of docs/RESULTS.md."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.results import site_rows
from tests.support.synthetic import facts, result
from xssr_strategy.simulation.report_numbers import numbers_of, site_tables
from xssr_strategy.simulation.results import Site

SITES = (
    Site("north", ("image_00",), ("case_00", "case_02"), 1.25),
    Site("south", ("image_01", "image_02"), ("case_01",), None),
    Site("west", ("image_03",), (), None),
)
DICE = [[0.9], [0.2], [0.5]]  # of case_00, case_01 and case_02
BETTER = [[0.95], [0.6], [0.65]]


def test_each_site_has_the_mean_of_its_own_cases() -> None:
    numbers = numbers_of(facts({}, sites=SITES), [result("xssr", DICE, seed=seed) for seed in range(2)])
    (table,) = site_tables(numbers)
    assert table.columns == ("xssr, 4",)
    assert table.rows == (
        ("north", "1", "2", "1.25", "0.700"),
        ("south", "2", "1", "–", "0.200"),
        ("west", "1", "0", "–", "–"),
    )


def test_methods_are_compared_at_each_site() -> None:
    methods = ("supervised", "ust_run")
    first = [result("xssr", DICE, seed=seed) for seed in range(2)]
    second = [
        replace(
            one, job=replace(one.job, method="ust_run"), training=f"u{one.training}", dice=result("xssr", BETTER).dice
        )
        for one in first
    ]
    rows = site_rows(facts({}, sites=SITES, methods=methods), [*first, *second])
    assert [row[:4] for row in rows] == [
        ["xssr", "4", site, method] for site in ("north", "south") for method in methods
    ]
    assert [float(row[4].split()[0]) for row in rows] == pytest.approx([0.7, 0.8, 0.2, 0.6])
    assert rows[0][5] == rows[2][5] == ""
    assert rows[1][5].startswith("+10.0 [")
    assert rows[3][5].startswith("+40.0 [")
    assert [row[6] for row in rows[::2]] == ["3.0", "8.0"]  # HD95 of the synthetic results: ten times what is missing
