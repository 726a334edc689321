"""A labelled source: which of its labels help the target, and what its network says of the pool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.hospitals import POOL, Inline, comparable, experiment, planned, rows, simulate
from tests.support.phantoms import write_png
from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.errors import UserError
from xssr_strategy.selection import XSSR, select_source
from xssr_strategy.simulation.planning import PlannedJob


def paid(one: PlannedJob) -> set[str]:
    return {Path(pair["image"]).stem for pair in one.training.pairs}


def test_source_labels_that_xssr_chooses_are_those_near_to_its_picks(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    strategies = ("source-only", "source-only:xssr")
    what = experiment(target, source, strategies=strategies, from_labels=4, methods=("supervised", "ust_run"))
    plan = planned(what, tmp_path)
    seen = plan.planner._selector._parts[0]
    expected = {seen.source_images[row] for row in select_source(seen.target, seen.source, 4)}
    jobs = {(one.job.strategy, one.job.seed, one.job.training_method): one for one in plan.jobs}
    chosen = [one for (strategy, _, _), one in jobs.items() if strategy == "source-only:xssr"]
    assert len(chosen) == 4  # two seeds, two methods
    assert all(paid(one) == expected for one in chosen)
    assert all(one.choice.picks == () for one in chosen)
    assert any(paid(jobs["source-only", seed, "supervised"]) != expected for seed in (0, 1))
    unlabelled = jobs["source-only:xssr", 0, "ust_run"].training.unlabelled
    of_source = {name.removeprefix("source ") for name in unlabelled if name.startswith("source ")}
    assert of_source == set(what.source_pool()) - expected
    assert len(unlabelled) - len(of_source) == POOL


def test_a_source_image_without_a_label_is_not_chosen(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("source-only:xssr",), seeds=1, from_labels=1)
    (before,) = (paid(one) for one in planned(what, tmp_path / "before").jobs)
    (source / "labels" / f"{min(before)}.png").unlink()
    what = experiment(target, source, strategies=("source-only:xssr",), seeds=1, from_labels=1)
    (after,) = (paid(one) for one in planned(what, tmp_path / "after").jobs)
    assert after != before


@pytest.mark.slow
def test_xssr_picks_by_the_features_of_the_network_of_source_only(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("xssr:source-network", "xssr", "source-only"))
    engine = Inline()
    assert simulate(what, tmp_path, engine) == {}
    plan = planned(what, tmp_path)
    seen = plan.planner._selector._parts[0]
    found = {(one.job.strategy, one.job.seed): one for one in rows(tmp_path)}
    for seed in (0, 1):
        features = found["source-only", seed].features
        assert features.keys() == set(seen.images)
        vectors, _ = standardise(np.array([features[image] for image in seen.images]), None)
        expected = [seen.images[row] for row in XSSR().select(vectors, 3).indices]
        assert list(found["xssr:source-network", seed].picks) == expected
    assert found["source-only", 0].features != found["source-only", 1].features
    again = Inline()
    assert simulate(what, tmp_path, again) == {}
    assert again.ran == []
    assert len(engine.ran) == len({training.digest for training in engine.ran})


@pytest.mark.slow
def test_a_network_of_the_source_that_was_trained_before_is_asked_later(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    simulate(experiment(target, source, strategies=("source-only",), seeds=1), tmp_path / "out")
    both = experiment(target, source, strategies=("xssr:source-network", "source-only"), seeds=1)
    assert simulate(both, tmp_path / "out") == {}
    simulate(both, tmp_path / "at once")
    assert comparable(tmp_path / "out") == comparable(tmp_path / "at once")


@pytest.mark.slow
def test_labels_of_the_target_decide_no_pick_by_the_network_of_the_source(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("xssr:source-network", "source-only"), seeds=1)
    simulate(what, tmp_path / "before")
    cases = {case for one in rows(tmp_path / "before") for case in one.cases}
    for label in (target / "labels").iterdir():
        if label.stem not in cases:
            write_png(label, np.eye(40, 36, dtype=np.uint8))
    simulate(what, tmp_path / "after")
    picks = [[one.picks for one in rows(tmp_path / name)] for name in ("before", "after")]
    assert picks[0] == picks[1]


@pytest.mark.slow
def test_where_the_network_of_the_source_cannot_be_trained_its_picks_fail_with_it(
    copies: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("xssr:source-network", "xssr", "source-only"), seeds=1)
    for label in (source / "labels").iterdir():
        label.write_bytes(b"no picture")
    failed = simulate(what, tmp_path)
    assert list(failed) == ["source-only-0-d0-s0", "xssr_source-network-3-d0-s0"]
    assert failed["xssr_source-network-3-d0-s0"] == "it needs source-only-0-d0-s0, which could not be run."
    assert [one.job.strategy for one in rows(tmp_path)] == ["xssr"]


@pytest.mark.parametrize(
    ("strategies", "changes", "why"),
    [
        (("xssr:source-network",), {}, "xssr:source-network: asks the network of source-only; name that, too"),
        (("source-only:xssr",), {"from_labels": 99}, "--from-labels 99: the source has only 16"),
    ],
)
def test_strategies_of_the_source_that_cannot_be_run(
    strategies: tuple[str, ...], changes: dict[str, int], why: str, hospitals: tuple[Path, Path]
) -> None:
    source, target = hospitals
    with pytest.raises(UserError, match=why):
        experiment(target, source, strategies=strategies, **changes).check()


def test_without_labels_of_the_source_nothing_of_it_is_chosen(copies: tuple[Path, Path]) -> None:
    source, target = copies
    what = experiment(target, source, strategies=("source-only:xssr",))
    assert what.source is not None
    with pytest.raises(UserError, match="source-only:xssr: needs the labels of a source"):
        replace(what, source=replace(what.source, labels={})).check()
