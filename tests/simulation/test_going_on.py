"""A simulation goes on where it was, and mixes nothing that does not belong together."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.hospitals import POOL, Inline, experiment, planned, rows, simulate
from tests.support.phantoms import write_png
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.methods.recipe import RECIPE
from xssr_strategy.selection.budget import parse_budget
from xssr_strategy.selection.catalogue import ABLATIONS
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.results import read_experiment_info


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    engine = Inline()
    simulate(experiment(target, source, strategies=("xssr", "random"), seeds=1), tmp_path, engine)
    assert len(engine.ran) == 3
    more = experiment(target, source, strategies=("xssr", "xssr:alpha-0", "random"), seeds=1, draws=3)
    again = Inline()
    simulate(more, tmp_path, again)
    assert len(again.ran) <= 2  # the third draw, and alpha 0 unless that is what calibration had chosen
    assert {one.draw for one in (row.job for row in rows(tmp_path))} == {0, 1, 2}
    nothing = Inline()
    simulate(more, tmp_path, nothing)
    assert nothing.ran == []


@pytest.mark.slow
def test_a_copy_of_the_data_finds_its_trainings_again(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    what = {"strategies": ("xssr", "random"), "seeds": 1}
    simulate(experiment(hospitals[1], hospitals[0], **what), tmp_path / "out")
    source, target = (shutil.copytree(of, tmp_path / of.name, copy_function=shutil.copyfile) for of in hospitals)
    engine = Inline()
    simulate(experiment(target, source, **what), tmp_path / "out", engine)
    assert engine.ran == []


def test_jobs_with_the_same_picks_and_seed_share_a_training(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    engine = Inline()
    names = ("xssr", *ABLATIONS)
    simulate(experiment(target, source, strategies=names, budgets=(parse_budget("100%"),)), tmp_path, engine)
    assert len(engine.ran) == 2  # one for each seed: everybody picks everything
    assert len(rows(tmp_path)) == 2 * len(names)


@pytest.mark.slow
def test_a_changed_label_is_trained_on_again(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("xssr", "coreset"), seeds=1)
    simulate(what, tmp_path / "out")
    picked = {one.job.strategy: set(one.picks) for one in rows(tmp_path / "out")}
    (only_here, *_) = picked["xssr"] - picked["coreset"]
    write_png(target / "labels" / f"{only_here}.png", np.eye(40, 36, dtype=np.uint8))
    engine = Inline()
    simulate(what, tmp_path / "out", engine)
    assert [{Path(pair["image"]).stem for pair in one.pairs} for one in engine.ran] == [picked["xssr"]]


def test_results_of_another_simulation_are_not_mixed_in(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    simulate(experiment(target, source, strategies=("random",), seeds=1, draws=1), tmp_path)
    for changes, message in (
        ({"steps": 5, "threads": 2}, r"other settings \(steps, threads\)"),
        ({"labels": ("other",)}, r"labels \('blob',\), not \('other',\)"),
    ):
        with pytest.raises(UserError, match=f"holds results of {message}; name another folder"):
            simulate(experiment(target, source, **changes), tmp_path)
    with pytest.raises(UserError, match="source old, not None"):
        simulate(experiment(target), tmp_path)


def test_results_of_another_recipe_are_not_mixed_in(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    short = {"strategies": ("random",), "seeds": 1, "draws": 1}
    what = experiment(target, source, **short)
    simulate(what, tmp_path)
    before = planned(what, tmp_path).jobs[0].training.digest
    other = experiment(target, source, **short, recipe=replace(RECIPE, learning_rate=0.5))
    with pytest.raises(UserError, match=r"holds results of other settings \(recipe\)"):
        simulate(other, tmp_path)
    assert planned(other, tmp_path / "anew").jobs[0].training.digest != before


def test_results_on_other_test_cases_are_not_mixed_in(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    simulate(experiment(target, source, strategies=("random",), seeds=1, draws=1), tmp_path / "out")
    write_png(target / "labels" / f"scan{POOL}.png", np.eye(40, 36, dtype=np.uint8))
    with pytest.raises(UserError, match=r"holds results of other settings \(test cases\)"):
        simulate(experiment(target, source, strategies=("kmeans",), seeds=1), tmp_path / "out")


def test_a_command_that_was_wrong_and_has_no_result_can_be_corrected(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    planned(experiment(hospitals[1], labels=("wrong",)), tmp_path)
    planned(experiment(hospitals[1], steps=5), tmp_path)
    assert read_experiment_info(tmp_path).settings["steps"] == 5


@pytest.mark.slow
def test_a_result_whose_job_fails_now_is_not_reported(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    what = {"strategies": ("xssr", "coreset"), "seeds": 1}
    simulate(experiment(target, source, **what), tmp_path)
    (only_here, *_) = set(rows(tmp_path)[1].picks) - set(rows(tmp_path)[0].picks)
    (target / "labels" / f"{only_here}.png").unlink()
    failed = simulate(experiment(target, source, **what), tmp_path)
    assert list(failed) == ["xssr-3-d0-s0"]
    page = write_report(tmp_path, failed, missing=1).read_text(encoding="utf-8")
    assert [line.split(",")[0] for line in (tmp_path / "results.csv").read_text().splitlines()] == [
        "strategy",
        "coreset",
    ]
    assert "1 job is" in page
