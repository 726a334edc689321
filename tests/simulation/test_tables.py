from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from tests.support.synthetic import facts, result
from xssr_strategy.simulation.statistics import verdicts
from xssr_strategy.simulation.tables import write_tables

NAN = math.nan


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    described = facts({"image_00": "a.png"}, labels=("liver", "spleen"))
    hd95 = [[3.0, NAN], [5.0, 7.0]]
    results = [
        result("xssr", [[0.9, NAN], [0.7, 0.5]], 22, hd95=hd95, picks=('a,"b', "ü"), alpha=0.2, mean_coverage=1.5),
        result("random", [[0.6, NAN], [0.4, 0.2]], 22, hd95=hd95, draw=3),
        result("source-only", [[NAN, NAN], [NAN, NAN]], 0, hd95=[[NAN, NAN], [NAN, NAN]], picks=()),
    ]
    write_tables(tmp_path, described, results, verdicts(described, results))
    return tmp_path


def test_a_row_for_every_job(out: Path) -> None:
    first, second, empty = rows(out / "results.csv")
    assert (first["strategy"], first["budget"], first["seed"], first["draw"]) == ("xssr", "22", "0", "0")
    assert first["labels"] == "2"
    assert float(first["dice"]) == pytest.approx((0.9 + 0.6) / 2)
    assert float(first["hd95"]) == pytest.approx((3.0 + 6.0) / 2)
    assert float(first["dice_liver"]) == pytest.approx(0.8)
    assert float(first["dice_spleen"]) == pytest.approx(0.5)
    assert (first["hd95_liver"], first["hd95_spleen"]) == ("4", "7")
    assert (first["alpha"], first["mean_coverage"], first["max_coverage"]) == ("0.2", "1.5", "")
    assert (first["steps"], first["seconds"], first["training"]) == ("100", "1.5", "xssr2200")
    assert (second["draw"], second["alpha"]) == ("3", "")
    assert (empty["dice"], empty["hd95"], empty["dice_liver"], empty["labels"]) == ("", "", "", "0")


def test_a_row_for_every_case_and_label(out: Path) -> None:
    table = rows(out / "cases.csv")
    assert len(table) == 3 * 2 * 2
    assert table[0] == {
        "strategy": "xssr", "method": "supervised", "budget": "22", "seed": "0", "draw": "0",
        "case": "case_00", "label": "liver", "dice": "0.9", "hd95": "3", "asd": "1.5",
    }  # fmt: skip
    assert [table[1][name] for name in ("label", "dice", "hd95", "asd")] == ["spleen", "", "", ""]


def test_picks_keep_their_order_and_names(out: Path) -> None:
    table = rows(out / "picks.csv")
    assert [(row["rank"], row["image"]) for row in table if row["strategy"] == "xssr"] == [("1", 'a,"b'), ("2", "ü")]
    assert [row["draw"] for row in table if row["strategy"] == "random"] == ["3"] * 4
    assert not [row for row in table if row["strategy"] == "source-only"]


def test_comparisons_are_in_the_metrics_own_units(out: Path) -> None:
    dice, hd95 = rows(out / "comparisons.csv")
    assert (dice["strategy"], dice["against"], dice["budget"], dice["metric"]) == ("xssr", "random", "22", "dice")
    assert float(dice["low"]) == float(dice["high"]) == float(dice["difference"]) == pytest.approx(0.3)
    assert dice["verdict"] == "better"
    assert (hd95["metric"], hd95["difference"], hd95["verdict"]) == ("hd95", "0", "no difference can be shown")
