"""``report.json`` holds what the page tells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic import POOL, facts, result, write_experiment
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.results import (
    read_experiment_info,
    read_results,
    write_experiment_info,
    write_result,
)
from xssr_strategy.simulation.statistics import verdicts


def test_the_numbers_are_there_for_programs(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    write_report(tmp_path, missing=2)
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    facts, results = read_experiment_info(tmp_path), read_results(tmp_path)
    mean = {(one["strategy"], one["budget"]): one["dice"] for one in told["results"]}
    for key in (("xssr", 8), ("random", 16), ("full", POOL)):
        jobs = [one.dice for one in results if (one.job.strategy, one.job.budget) == key]
        assert mean[key] == pytest.approx(np.mean(jobs))
    assert {one["sentence"] for one in told["comparisons"]} == {one.sentence for one in verdicts(facts, results)}
    needed = {(one["strategy"], one["percent"]): one["labels"] for one in told["labels_needed"]}
    assert set(needed) == {(name, share) for name in ("xssr", "coreset", "random") for share in (98.0, 99.0, 99.5)}
    assert needed["xssr", 98.0] in (4, 8, 16)
    assert {one["part"] for one in told["random_sets"]} == {"", "site north", "site south", "worst site"}
    assert told["missing_jobs"] == 2


def test_where_there_is_no_number_null_stands(tmp_path: Path) -> None:
    write_experiment_info(tmp_path, facts({"image_00": "gone.png"}))
    write_result(tmp_path, result("xssr", [[0.9]], hd95=[[float("nan")]], picks=("image_00",)))
    write_report(tmp_path)
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (only,) = told["results"]
    assert (only["dice"], only["hd95"], only["percent_of_full"]) == (0.9, None, None)
    assert (told["comparisons"], told["random_sets"], told["labels_needed"]) == ([], [], [])
