"""What a simulation runs, and what it refuses to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.foundations import timm_weights
from tests.support.hospitals import POOL, TEST, experiment, planned, rows, simulate
from tests.support.phantoms import write_png
from xssr_strategy.embedding.encoder import EncoderOptions
from xssr_strategy.errors import UserError
from xssr_strategy.selection.budget import parse_budget
from xssr_strategy.simulation.results import read_experiment_info
from xssr_strategy.simulation.statistics import verdicts


@pytest.mark.slow
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
    assert read_experiment_info(tmp_path).sites[0].distance > 0  # type: ignore[operator]


def test_a_test_case_that_cannot_be_used_costs_no_training(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    write_png(target / "labels" / f"scan{POOL}.png", np.eye(9, dtype=np.uint8))
    with pytest.raises(UserError, match=rf"scan{POOL}.png: the label is 9 x 9 but its image is"):
        simulate(experiment(target, source), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_intervals_know_the_patients_of_the_test_cases(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    cases = [f"scan{number}" for number in range(POOL, POOL + TEST)]
    patients = dict.fromkeys(cases, "everybody")
    lines = [f"{image},{patient}" for image, patient in patients.items()]
    (target / "patients.csv").write_text("\n".join(["image,patient", *lines]))
    simulate(experiment(target, source, strategies=("xssr", "random"), seeds=1, draws=1), tmp_path / "out")
    facts = read_experiment_info(tmp_path / "out")
    assert facts.patients == patients
    found = verdicts(facts, rows(tmp_path / "out"))
    assert [(one.cases, one.patients) for one in found if one.metric == "dice"] == [(TEST, 1)]


def test_encoders_take_turns(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    simulate(experiment(target, source, strategies=("xssr",), seeds=3, encoders=2), tmp_path)
    coverage = [one.mean_coverage for one in rows(tmp_path)]
    assert coverage[0] == coverage[2] != coverage[1]


def test_a_foundation_encoder_is_used_as_it_is_and_results_of_others_are_not_mixed_in(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    weights = timm_weights(tmp_path / "vit.pth", "test_vit")
    asked = experiment(
        target, source, strategies=("xssr",), encoder="timm:test_vit", encoder_options=EncoderOptions(weights)
    )
    simulate(asked, tmp_path / "out")
    simulate(asked, tmp_path / "out")
    assert len({one.picks for one in rows(tmp_path / "out")}) == 1
    timm_weights(weights, "test_vit", seed=1)
    with pytest.raises(UserError, match=r"holds results of other settings \(encoder options\); name another folder"):
        simulate(asked, tmp_path / "out")


@pytest.mark.slow
def test_every_seed_may_see_a_part_of_the_pool_of_its_own(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    names = ("xssr", "kmeans", "full", "random")
    simulate(experiment(target, source, strategies=names, share=0.5, seeds=2, draws=1), tmp_path)
    found = {(one.job.strategy, one.job.seed): set(one.picks) for one in rows(tmp_path)}
    assert len(found["full", 0]) == len(found["full", 1]) == POOL // 2
    assert found["full", 0] != found["full", 1]
    assert all(picks <= found["full", seed] for (_, seed), picks in found.items())


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("names", "lead"),
    [(("random", "full", "kmeans", "xssr"), "kmeans"), (("full", "random"), "full"), (("xssr", "kmeans"), "xssr")],
)
def test_the_report_is_about_the_first_that_is_compared_with_the_others(
    hospitals: tuple[Path, Path], tmp_path: Path, names: tuple[str, ...], lead: str
) -> None:
    assert planned(experiment(hospitals[1], strategies=names), tmp_path).facts.default == lead
