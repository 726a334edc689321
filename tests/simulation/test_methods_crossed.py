"""Training methods crossed with strategies: the same picks, trainings of their own, comparisons on what is shared."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.support.hospitals import Inline, experiment, planned, rows, simulate
from tests.support.synthetic import facts, result
from xssr_strategy.commands.simulate import _announce
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods import catalogue
from xssr_strategy.segmentation.methods.base import Stage
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.simulation import work
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.results import JobResult
from xssr_strategy.simulation.scores import Scores
from xssr_strategy.simulation.statistics import Comparison, compare, verdicts

BOTH = ("supervised", "curious")


class Curious(Supervised):
    """Supervised training that is given unlabelled images, and looks at one."""

    uses_unlabelled = needs_unlabelled = True

    def stages(self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device) -> Iterator[Stage]:
        assert data.unlabelled
        yield from super().stages(data, plan, seed + 1, device)


@pytest.fixture(autouse=True)
def _two_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {"supervised": Supervised, "curious": Curious, "ust_run": Curious}
    for module in (catalogue, work):
        monkeypatch.setattr(module, "METHODS", methods)


@pytest.mark.slow
def test_methods_share_picks_and_each_training_runs_once(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("xssr", "random", "full"), seeds=1, methods=BOTH)
    engine = Inline()
    assert simulate(what, tmp_path / "out", engine) == {}
    found = {one.job: one for one in rows(tmp_path / "out")}
    own = {job: one for job, one in found.items() if job.method == "curious"}
    assert len(found) == 2 * len(own) == 8  # xssr, full and two draws of random
    for job, one in own.items():
        twin = found[replace(job, method="supervised")]
        assert one.picks == twin.picks
        assert one.training != twin.training
        assert one.dice != twin.dice
    assert len(engine.ran) == len({training.digest for training in engine.ran}) == 8
    assert {training.method for training in engine.ran} == set(BOTH)


def test_unlabelled_images_are_the_pool_that_was_not_picked_and_the_source_and_no_test_case(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("xssr", "full", "source-only"), seeds=1, methods=BOTH)
    planned_jobs = {(one.job.strategy, one.job.method): one for one in planned(what, tmp_path / "out").jobs}
    pool = {what.target.images[image] for image in what.target.pool}
    of_source = set(what.source_pool().values())
    tests = set(what.held_out())
    for (strategy, method), one in planned_jobs.items():
        unlabelled, paid = set(one.training.unlabelled.values()), {Path(pair["image"]) for pair in one.training.pairs}
        assert not {path.resolve() for path in unlabelled} & tests
        assert not unlabelled & paid
        expected = set() if method == "supervised" else (pool | of_source) - paid
        assert unlabelled == expected, (strategy, method)


def test_auto_is_the_training_of_the_method_that_it_chooses(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    """Few labels and many images: UST-RUN, whether or not the source has labels; the whole pool: supervised."""
    source, target = hospitals
    methods = ("auto", "supervised", "ust_run")
    what = experiment(target, source, strategies=("xssr", "full", "source-only"), seeds=1, methods=methods)
    digests = {(one.job.strategy, one.job.method): one.training.digest for one in planned(what, tmp_path).jobs}
    chosen = {"xssr": "ust_run", "full": "supervised", "source-only": "ust_run"}
    assert len(set(digests.values())) == 6
    for strategy, method in chosen.items():
        assert digests[strategy, "auto"] == digests[strategy, method]


def test_without_unlabelled_images_every_training_is_supervised(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    _, target = hospitals
    what = experiment(target, strategies=("xssr", "full"), seeds=1, methods=BOTH)
    jobs = {(one.job.strategy, one.job.method): one for one in planned(what, tmp_path).jobs}
    assert [names for names, one in jobs.items() if one.falls_back] == [("full", "curious")]
    assert jobs["full", "curious"].training.digest == jobs["full", "supervised"].training.digest
    said = io.StringIO()
    _announce(planned(what, tmp_path), what, Console(file=said, width=200))
    assert "full with curious: there is no unlabelled image, the training is supervised." in said.getvalue()


def test_supervised_results_are_found_again_when_a_method_is_added(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    simulate(experiment(target, source, strategies=("xssr",), seeds=1), tmp_path / "out")
    before = rows(tmp_path / "out")
    engine = Inline()
    simulate(experiment(target, source, strategies=("xssr",), seeds=1, methods=BOTH), tmp_path / "out", engine)
    assert [training.method for training in engine.ran] == ["curious"]
    assert [one for one in rows(tmp_path / "out") if one.job.method == "supervised"] == before


def test_an_unlabelled_image_that_changed_is_trained_on_again(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("xssr",), seeds=1, methods=BOTH)
    one, other = planned(what, tmp_path / "a").jobs
    fewer = work.training_of(
        pairs=other.training.pairs,
        cases=other.training.cases,
        preset=other.training.preset,
        labels=other.training.labels,
        method="curious",
        recipe=other.training.recipe,
        steps=other.training.steps,
        seed=other.training.seed,
        threads=1,
        out=tmp_path,
        unlabelled=dict(list(other.training.unlabelled.items())[1:]),
        min_spacing=0.0,
        entropy_of={},
        features_of={},
    )
    assert len({one.training.digest, other.training.digest, fewer.digest}) == 3


def scores(values: np.ndarray, method: str, strategy: str = "random") -> Scores:
    names = [tuple(range(side)) for side in values.shape]
    return Scores(strategy, 4, "dice", names[0], names[1], tuple(map(str, names[2])), values, method)


def test_two_methods_are_compared_draw_by_draw() -> None:
    """Draws differ far more than methods do: only the pairing shows the gain."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0.3, 0.9, (8, 1, 1)) + rng.normal(0.0, 0.001, (8, 3, 6))
    found = compare(scores(level + 0.01, "curious"), scores(level, "supervised"), "mm")
    assert found is not None
    assert found.difference.value == pytest.approx(0.01)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.01, 0.01))
    assert (found.beaten, found.draws, found.verdict) == (8, 8, "better")
    assert found.sentence.startswith("random with 4 labels and curious training: Dice "), (
        "the sentence says which method trained"
    )
    assert "above supervised training (95 % interval" in found.sentence
    assert found.sentence.endswith("better. It is better in all 8 draws.")


def test_draws_that_one_method_lacks_do_not_count() -> None:
    level = np.random.default_rng(1).uniform(0.3, 0.9, (4, 2, 5))
    fewer = scores(level[:3] + 0.01, "curious")
    fewer.values[2, 1] = math.nan  # a job that is missing
    found = compare(fewer, scores(level, "supervised"), "mm")
    assert found is not None
    assert (found.draws, found.own_draws) == (2, 2)
    assert found.difference.value == pytest.approx(0.01)


def results(gain: float) -> list[JobResult]:
    found = []
    for strategy, method, seed in ((s, m, n) for s in ("xssr", "random") for m in BOTH for n in range(3)):
        dice = [[0.8 + 0.01 * seed + 0.002 * case + gain * (method == "curious")] for case in range(6)]
        one = result(strategy, dice, seed=seed)
        found.append(replace(one, job=replace(one.job, method=method), training=f"{strategy}{method}{seed}"))
    return found


def key(one: Comparison) -> tuple[str, str, str, str, str]:
    return one.strategy, one.method, one.against, one.against_method, one.metric


def test_strategies_are_compared_within_a_method_and_methods_on_the_same_picks() -> None:
    described = facts({"image_00": "a.png"}, methods=BOTH)
    found = [key(one) for one in verdicts(described, results(0.02))]
    within = [("xssr", method, "random", method) for method in BOTH]
    between = [(strategy, "curious", strategy, "supervised") for strategy in ("random", "xssr")]
    assert found == [(*names, metric) for metric in ("dice", "hd95") for names in (*within, *between)]


@pytest.mark.slow
def test_tables_and_report_have_a_column_for_the_method(tmp_path: Path) -> None:
    from tests.support.synthetic import write_experiment
    from xssr_strategy.simulation.results import read_results, write_result

    write_experiment(tmp_path, methods=BOTH)
    for one in read_results(tmp_path):
        better = tuple(tuple(min(1.0, value + 0.01) for value in row) for row in one.dice)
        write_result(tmp_path, replace(one, job=replace(one.job, method="curious"), dice=better))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    for name in ("results.csv", "cases.csv", "picks.csv"):
        with (tmp_path / name).open(encoding="utf-8") as file:
            assert {row["method"] for row in csv.DictReader(file)} == set(BOTH)
    assert '<td class="text">xssr</td><td class="text">supervised</td>' in page
    assert '<td class="text">xssr</td><td class="text">curious</td>' in page
    assert "Dice, beside supervised training on the same picks" in page
    assert "xssr with 16 labels and curious training: Dice" in page
    assert page.count("What labels are worth") == 1
    assert page.count('alt="Mean Dice of every strategy over the number of labels') == 2


def test_source_only_has_so_many_labels_of_the_source_and_learns_from_the_rest_without_theirs(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("source-only",), seeds=3, methods=BOTH, from_labels=4)
    what.check()
    jobs = planned(what, tmp_path / "out").jobs
    of_source, pool = what.source_pool(), {what.target.images[image] for image in what.target.pool}
    drawn = set()
    for one in jobs:
        paid = [Path(pair["image"]) for pair in one.training.pairs]
        assert len(paid) == 4
        assert set(paid) < set(of_source.values())
        if one.job.method == "curious":
            assert set(one.training.unlabelled.values()) == (pool | set(of_source.values())) - set(paid)
        drawn.add(tuple(paid))
    assert len(jobs) == 6
    assert len(drawn) == 3  # another draw for each seed, the same for both methods


def test_no_more_unlabelled_images_than_asked_for(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("xssr",), seeds=2, methods=("curious",), unlabelled=5)
    first, second = (one.training.unlabelled for one in planned(what, tmp_path / "out").jobs)
    assert len(first) == len(second) == 5
    assert first != second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from_labels": 4}, "--from-labels 4: is for the strategy source-only; name it or leave the option out."),
        ({"from_labels": 99, "strategies": ("source-only",)}, "--from-labels 99: the source has only 16; ask for that"),
    ],
)
def test_labels_of_the_source_that_are_not_there(
    changes: dict[str, object], message: str, hospitals: tuple[Path, Path]
) -> None:
    source, target = hospitals
    with pytest.raises(UserError, match=message):
        experiment(target, source, **changes).check()


def test_results_of_earlier_versions_have_no_surface_distance(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    simulate(experiment(target, source, strategies=("xssr",), seeds=1), tmp_path / "out")
    (file,) = (tmp_path / "out" / "jobs").glob("*.json")
    values = json.loads(file.read_text())
    assert len(values["asd"]) == len(values["dice"])
    del values["asd"]
    file.write_text(json.dumps(values))
    (before,) = rows(tmp_path / "out")
    write_report(tmp_path / "out")
    assert before.asd == ()
    with (tmp_path / "out" / "cases.csv").open() as table:
        assert {row["asd"] for row in csv.DictReader(table)} == {""}
