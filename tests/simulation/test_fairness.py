"""No strategy knows a label that it has not paid for, and nothing learns from what is held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.hospitals import TEST, comparable, experiment, planned, rows, simulate
from tests.support.phantoms import write_png
from xssr_strategy.errors import UserError
from xssr_strategy.labels import reading
from xssr_strategy.segmentation import transforms
from xssr_strategy.segmentation.methods.catalogue import AUTO, METHODS, method_choices
from xssr_strategy.segmentation.pair_cache import NoCache
from xssr_strategy.selection.budget import parse_budget
from xssr_strategy.selection.catalogue import SELECTORS
from xssr_strategy.simulation.domains import held_out, read_domain
from xssr_strategy.simulation.simulate import plan
from xssr_strategy.simulation.work import trained_network


@pytest.mark.slow
def test_the_run_is_the_same_when_every_label_that_was_not_paid_for_is_removed(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("xssr", "coreset", "random"), seeds=1)
    simulate(what, tmp_path / "with")
    paid = {image for one in rows(tmp_path / "with") for image in (*one.picks, *one.cases)}
    unpaid = [label for label in (target / "labels").iterdir() if label.stem not in paid]
    assert unpaid, "something is left to remove"
    for label in [*unpaid, *(source / "labels").iterdir()]:
        label.unlink()
    simulate(experiment(target, source, strategies=what.strategies, seeds=1), tmp_path / "without")
    assert comparable(tmp_path / "with") == comparable(tmp_path / "without")


def test_labels_decide_no_pick_of_any_strategy(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    before = planned(experiment(target, source, strategies=(*SELECTORS,), seeds=1), tmp_path / "before")
    for label in (target / "labels").iterdir():
        write_png(label, np.eye(40, 36, dtype=np.uint8))
    after = planned(experiment(target, source, strategies=(*SELECTORS,), seeds=1), tmp_path / "after")
    assert len(before.jobs) == len(SELECTORS) + 1  # random has two draws
    assert all(len(set(one.choice.picks)) == len(one.choice.picks) == 3 for one in before.jobs)
    assert [one.choice.picks for one in before.jobs] == [one.choice.picks for one in after.jobs]
    assert all(one.training != other.training for one, other in zip(before.jobs, after.jobs, strict=True))


def test_random_foreground_draws_among_the_images_whose_label_holds_anything(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    _, target = copies
    full = ["scan02", "scan05", "scan07", "scan11"]
    for label in (target / "labels").iterdir():
        if label.stem not in full:
            write_png(label, np.zeros((40, 36), dtype=np.uint8))
    budgets = tuple(parse_budget(text) for text in ("2", "4", "6"))
    what = experiment(target, strategies=("random:foreground",), budgets=budgets, seeds=3)
    picks = {(one.job.budget, one.job.seed): one.choice.picks for one in planned(what, tmp_path).jobs}
    assert all(sorted(picks[4, seed]) == full for seed in range(3))
    assert all(set(picks[2, seed]) < set(full) for seed in range(3))
    assert len({picks[4, seed] for seed in range(3)}) > 1
    assert all(set(full) < set(picks[6, seed]) for seed in range(3))  # where four do not suffice, others come last
    assert all(picks[6, seed][:4] == picks[4, seed] for seed in range(3))


def test_the_test_cases_decide_no_pick(copies: tuple[Path, Path], tmp_path: Path) -> None:
    _, target = copies
    simulate(experiment(target, None, strategies=("xssr",), seeds=1), tmp_path / "before")
    for case in (target / "test.txt").read_text().split():
        write_png(target / "images" / f"{case}.png", np.full((40, 36), 7, dtype=np.uint8))
    simulate(experiment(target, target, strategies=("xssr",), seeds=1), tmp_path / "after")
    assert rows(tmp_path / "before")[0].picks == rows(tmp_path / "after")[0].picks


def test_the_encoder_does_not_learn_from_what_the_source_holds_out(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    (source / "test.txt").write_text("scan00\nscan01\n")
    before = planned(experiment(target, source, strategies=("xssr",), seeds=1), tmp_path / "before")
    for case in ("scan00", "scan01"):
        write_png(source / "images" / f"{case}.png", np.full((40, 36), 7, dtype=np.uint8))
    after = planned(experiment(target, source, strategies=("xssr",), seeds=1), tmp_path / "after")
    assert before.jobs[0].choice.selection.scores.tolist() == after.jobs[0].choice.selection.scores.tolist()  # type: ignore[union-attr]
    write_png(source / "images" / "scan02.png", np.full((40, 36), 7, dtype=np.uint8))
    other = planned(experiment(target, source, strategies=("xssr",), seeds=1), tmp_path / "other")
    assert before.jobs[0].choice.selection.scores.tolist() != other.jobs[0].choice.selection.scores.tolist()  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in method_choices() if name == AUTO or METHODS[name].uses_unlabelled])
def test_no_test_case_is_read_before_the_network_is_trained(
    method: str, copies: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("xssr",), seeds=1, methods=(method,), steps=40)
    (one,) = planned(what, tmp_path / "out").jobs
    read: set[Path] = set()
    for module in (transforms, reading):
        original = module.read_image

        def noting(path: str | Path, original: Any = original) -> Any:
            read.add(Path(path).resolve())
            return original(path)

        monkeypatch.setattr(module, "read_image", noting)
    trained_network(one.training, NoCache(), torch.device("cpu"))
    cases = {Path(path).resolve() for case in one.training.cases.values() for path in case.values()}
    assert len(cases) == 2 * TEST
    assert not read & cases
    assert len(read & {path.resolve() for path in one.training.unlabelled.values()}) > 20


def test_source_only_learns_from_no_test_case(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = copies  # holds nothing out
    drawn = held_out(read_domain(source, "--target"))
    what = replace(experiment(source, source, strategies=("source-only",), seeds=1), target=drawn, test=drawn)
    (job,) = planned(what, tmp_path).jobs
    trained = {Path(pair["image"]).stem for pair in job.training.pairs}
    assert trained == {*drawn.images} - drawn.test
    assert len(drawn.test) == TEST


def test_a_source_of_test_cases_alone_is_refused(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    cases = read_domain(source, "--test")
    what = experiment(target, source, test=replace(cases, test=frozenset(cases.labels)))
    with pytest.raises(UserError, match=r"--source .*: all its images are test cases"):
        simulate(what, tmp_path)


def test_a_workspace_may_be_shared_by_simulations_with_other_sources(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    alone, shared = [], []
    for number, other in enumerate((source, None)):
        what = experiment(target, other, strategies=("xssr",), seeds=1)
        (tmp_path / f"out{number}").mkdir()
        alone.append(planned(what, tmp_path / f"alone{number}").jobs[0].choice.selection)
        common = plan(what, tmp_path / f"out{number}", tmp_path / "common", "xssr simulate", lambda *stage: None)
        shared.append(common.jobs[0].choice.selection)
    assert [one.mean_coverage for one in shared] == [one.mean_coverage for one in alone]  # type: ignore[union-attr]
    assert shared[0].mean_coverage != shared[1].mean_coverage  # type: ignore[union-attr]


def test_test_cases_that_are_in_the_pool_are_refused(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = hospitals  # holds nothing out
    everything = read_domain(source, "--test")
    what = experiment(source, None, test=replace(everything, test=frozenset(everything.labels)))
    with pytest.raises(UserError, match=r"--test .*: scan00 is in the pool of --target too"):
        simulate(what, tmp_path)
