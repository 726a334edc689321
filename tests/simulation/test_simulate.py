from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.segmentation.phantoms import write_png
from tests.simulation.hospitals import POOL, TEST, Inline, comparable, experiment, hospital, planned, rows, simulate
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation import recipe
from xssr_strategy.settings import parse_budget
from xssr_strategy.simulation.domains import held_out, read_domain
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.results import read_facts
from xssr_strategy.simulation.simulate import plan
from xssr_strategy.simulation.strategies import ABLATIONS, RULES


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("hospitals")
    return hospital(root / "old", seed=1), hospital(root / "new", seed=2, test=TEST)


@pytest.fixture
def copies(hospitals: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Hospitals that a test may damage."""
    source, target = (Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in hospitals)
    return source, target


def test_every_strategy_is_trained_with_the_same_seeds_and_scored_on_the_same_cases(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    names = ("xssr", "kmeans", "random", "full", "source-only")
    what = experiment(target, source, strategies=names, seeds=2, draws=3)
    assert simulate(what, tmp_path) == {}
    found = rows(tmp_path)
    by_strategy = {name: [one for one in found if one.job.strategy == name] for name in what.strategies}
    assert {name: len(results) for name, results in by_strategy.items()} == {
        **dict.fromkeys(names, 2),
        "random": 6,
    }
    for name, results in by_strategy.items():
        assert sorted({one.job.seed for one in results}) == [0, 1]
        for one in results:
            assert one.cases == tuple(f"scan{number}" for number in range(POOL, POOL + TEST))
            assert len(one.dice) == len(one.hd95) == TEST
            assert len(set(one.picks)) == len(one.picks) == {"full": POOL, "source-only": 0}.get(name, 3)
            assert not set(one.picks) & set(one.cases)
            assert one.steps == (4 if name == "full" else 3)
    assert len({one.picks for one in by_strategy["random"]}) == 3  # a draw is the same for every seed
    assert all(one.calibration for one in by_strategy["xssr"])
    assert read_facts(tmp_path).sites[0].distance > 0  # type: ignore[operator]


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
    before = planned(experiment(target, source, strategies=(*RULES,), seeds=1), tmp_path / "before")
    for label in (target / "labels").iterdir():
        write_png(label, np.eye(40, 36, dtype=np.uint8))
    after = planned(experiment(target, source, strategies=(*RULES,), seeds=1), tmp_path / "after")
    assert len(before.jobs) == len(RULES) + 1  # random has two draws
    assert all(len(set(one.picks)) == len(one.picks) == 3 for one in before.jobs)
    assert [one.picks for one in before.jobs] == [one.picks for one in after.jobs]
    assert all(one.training != other.training for one, other in zip(before.jobs, after.jobs, strict=True))


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
    assert before.jobs[0].selection.scores.tolist() == after.jobs[0].selection.scores.tolist()  # type: ignore[union-attr]
    write_png(source / "images" / "scan02.png", np.full((40, 36), 7, dtype=np.uint8))
    other = planned(experiment(target, source, strategies=("xssr",), seeds=1), tmp_path / "other")
    assert before.jobs[0].selection.scores.tolist() != other.jobs[0].selection.scores.tolist()  # type: ignore[union-attr]


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


def test_a_test_case_that_cannot_be_used_costs_no_training(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    write_png(target / "labels" / f"scan{POOL}.png", np.eye(9, dtype=np.uint8))
    with pytest.raises(UserError, match=rf"scan{POOL}.png: the label is 9 x 9 but its image is"):
        simulate(experiment(target, source), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_workspace_may_be_shared_by_simulations_with_other_sources(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    alone, shared = [], []
    for number, other in enumerate((source, None)):
        what = experiment(target, other, strategies=("xssr",), seeds=1)
        (tmp_path / f"out{number}").mkdir()
        alone.append(planned(what, tmp_path / f"alone{number}").jobs[0].selection)
        common = plan(what, tmp_path / f"out{number}", tmp_path / "common", "xssr simulate", lambda *stage: None)
        shared.append(common.jobs[0].selection)
    assert [one.mean_coverage for one in shared] == [one.mean_coverage for one in alone]  # type: ignore[union-attr]
    assert shared[0].mean_coverage != shared[1].mean_coverage  # type: ignore[union-attr]


def test_test_cases_that_are_in_the_pool_are_refused(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = hospitals  # holds nothing out
    everything = read_domain(source, "--test")
    what = experiment(source, None, test=replace(everything, test=frozenset(everything.labels)))
    with pytest.raises(UserError, match=r"--test .*: scan00 is in the pool of --target too"):
        simulate(what, tmp_path)


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


def test_parts_make_the_whole(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    what = experiment(target, source)
    simulate(what, tmp_path / "whole")
    for part in (1, 2, 3):
        simulate(what, tmp_path / "parts", part=(part, 3))
        assert len(rows(tmp_path / "parts")) < 8 or part == 3
    assert comparable(tmp_path / "whole") == comparable(tmp_path / "parts")


def test_encoders_take_turns(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    simulate(experiment(target, source, strategies=("xssr",), seeds=3, encoders=2), tmp_path)
    coverage = [one.mean_coverage for one in rows(tmp_path)]
    assert coverage[0] == coverage[2] != coverage[1]


def test_every_seed_may_see_a_part_of_the_pool_of_its_own(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    names = ("xssr", "kmeans", "full", "random")
    simulate(experiment(target, source, strategies=names, share=0.5, seeds=2, draws=1), tmp_path)
    found = {(one.job.strategy, one.job.seed): set(one.picks) for one in rows(tmp_path)}
    assert len(found["full", 0]) == len(found["full", 1]) == POOL // 2
    assert found["full", 0] != found["full", 1]
    assert all(picks <= found["full", seed] for (_, seed), picks in found.items())


def test_a_picked_image_without_a_label_fails_its_jobs_and_no_other(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("xssr", "coreset"), seeds=1)
    simulate(what, tmp_path / "first")
    picked = {one.job.strategy: set(one.picks) for one in rows(tmp_path / "first")}
    (only_here, *_) = picked["xssr"] - picked["coreset"]
    label = target / "labels" / f"{only_here}.png"
    content = label.read_bytes()
    label.unlink()
    out = tmp_path / "second"
    failed = simulate(experiment(target, source, strategies=what.strategies, seeds=1), out)
    assert list(failed) == ["xssr-3-d0-s0"]
    assert f"the image {only_here} has no label" in failed["xssr-3-d0-s0"]
    assert [one.job.strategy for one in rows(out)] == ["coreset"]
    label.write_bytes(content)
    assert simulate(experiment(target, source, strategies=what.strategies, seeds=1), out) == {}
    assert len(rows(out)) == 2


def test_a_label_of_another_shape_fails_its_jobs_with_its_name(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("xssr", "coreset"), seeds=1)
    simulate(what, tmp_path / "first")
    picked = {one.job.strategy: set(one.picks) for one in rows(tmp_path / "first")}
    (only_here, *_) = picked["xssr"] - picked["coreset"]
    write_png(target / "labels" / f"{only_here}.png", np.eye(9, dtype=np.uint8))
    failed = simulate(what, tmp_path / "second")
    assert list(failed) == ["xssr-3-d0-s0"]
    assert f"{only_here}.png: the label is 9 x 9 but its image is" in failed["xssr-3-d0-s0"]


def test_empty_labels_are_trained_on_and_an_empty_test_label_does_not_count(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = copies
    for label in sorted((target / "labels").iterdir())[: POOL + 1]:
        write_png(label, np.zeros((40, 36), dtype=np.uint8))
    assert simulate(experiment(target, source, strategies=("xssr",), seeds=1), tmp_path / "out") == {}
    (one,) = rows(tmp_path / "out")
    assert [np.isnan(dice[0]) for dice in one.dice] == [True, False, False]
    assert set(one.overlays) == set(one.cases[1:])


def test_an_image_that_cannot_be_read_is_nobodys_pick(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    (target / "images" / "scan03.png").write_bytes(b"no picture")
    what = experiment(target, source, strategies=("random", "full"), seeds=1, budgets=(parse_budget("15"),))
    assert simulate(what, tmp_path / "out") == {}
    assert all("scan03" not in one.picks and len(one.picks) == POOL - 1 for one in rows(tmp_path / "out"))
    with pytest.raises(UserError, match="--budget 16: the pool has only 15 readable images"):
        simulate(experiment(target, source, budgets=(parse_budget("16"),)), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": (parse_budget("17"),)}, "--budget 17: the pool has only 16 readable images"),
        ({"strategies": ("source-only",)}, "source-only: needs the labels of a source"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(
    hospitals: tuple[Path, Path], tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        simulate(experiment(hospitals[1], None, **changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


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


def test_results_of_another_recipe_are_not_mixed_in(
    hospitals: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("random",), seeds=1, draws=1)
    simulate(what, tmp_path)
    before = planned(what, tmp_path).jobs[0].training.digest
    monkeypatch.setattr(recipe, "LEARNING_RATE", 0.5)
    with pytest.raises(UserError, match=r"holds results of other settings \(recipe\)"):
        simulate(what, tmp_path)
    assert planned(what, tmp_path / "anew").jobs[0].training.digest != before


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
    assert read_facts(tmp_path).settings["steps"] == 5


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


@pytest.mark.parametrize(
    ("names", "lead"),
    [(("random", "full", "kmeans", "xssr"), "kmeans"), (("full", "random"), "full"), (("xssr", "kmeans"), "xssr")],
)
def test_the_report_is_about_the_first_that_is_compared_with_the_others(
    hospitals: tuple[Path, Path], tmp_path: Path, names: tuple[str, ...], lead: str
) -> None:
    assert planned(experiment(hospitals[1], strategies=names), tmp_path).facts.default == lead
