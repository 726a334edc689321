"""Labels that come in rounds, and strategies that ask the network of the round before."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.hospitals import POOL, Inline, comparable, experiment, planned, rows, simulate
from tests.support.phantoms import write_png
from xssr_strategy.cli import main
from xssr_strategy.errors import UserError
from xssr_strategy.selection import XSSR, ClaspPE, ColdStart, EntropyDiversity, beside_network
from xssr_strategy.selection.budget import parse_budget
from xssr_strategy.selection.catalogue import AUTO_LABELS
from xssr_strategy.simulation.experiment import Experiment
from xssr_strategy.simulation.results import JobResult

ROUNDS = (2, 3, 3)
COUNTS = (2, 5, 8)


def in_rounds(target: Path, source: Path | None = None, rounds: tuple[int, ...] = ROUNDS, **changes: Any) -> Experiment:
    budgets = tuple(parse_budget(str(int(count))) for count in np.cumsum(rounds))
    return experiment(target, source, **{"rounds": rounds, "budgets": budgets, "seeds": 1, "draws": 1, **changes})


def by_budget(out: Path, strategy: str, seed: int = 0) -> dict[int, JobResult]:
    return {one.job.budget: one for one in rows(out) if one.job.strategy == strategy and one.job.seed == seed}


@pytest.mark.slow
def test_every_round_adds_to_the_labels_of_the_one_before(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    names = ("xssr", "typiclust", "entropy_diversity", "random", "full")
    assert simulate(in_rounds(target, source, strategies=names), tmp_path) == {}
    for name in names[:-1]:
        found = by_budget(tmp_path, name)
        assert tuple(found) == COUNTS
        for before, after in pairwise(found.values()):
            assert after.picks[: len(before.picks)] == before.picks
            assert len(set(after.picks)) == after.job.budget
    assert list(by_budget(tmp_path, "full")) == [POOL]


@pytest.mark.slow
def test_entropy_diversity_is_the_rule_on_what_the_last_network_is_least_sure_of(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    what = in_rounds(hospitals[1], hospitals[0], strategies=("entropy_diversity",), seeds=2)
    simulate(what, tmp_path)
    seen = planned(what, tmp_path).planner._selector._parts[1]
    row = {image: row for row, image in enumerate(seen.images)}
    found = by_budget(tmp_path, "entropy_diversity", seed=1)
    cold = ColdStart(seed=1).select(seen.target, 2).indices
    assert list(found[2].picks) == [seen.images[place] for place in cold]
    for before, after in pairwise(found.values()):
        left = set(seen.images) - set(before.picks)
        assert before.entropies.keys() == left
        assert all(len(values) == 2 and 0.0 < sum(values) < np.log(2.0) for values in before.entropies.values())
        entropy = [sum(before.entropies.get(image, (np.nan,))) for image in seen.images]
        known = [row[image] for image in before.picks]
        expected = EntropyDiversity(entropy).select(seen.target, 3, labeled=known)
        assert list(after.picks[len(before.picks) :]) == [seen.images[place] for place in expected.indices]
    assert not found[8].entropies  # nobody asks after the last round


@pytest.mark.slow
def test_clasp_pe_asks_the_last_network_of_every_label(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    what = in_rounds(hospitals[1], hospitals[0], (2, 3, 3), strategies=("clasp_pe",))
    simulate(what, tmp_path)
    seen = planned(what, tmp_path).planner._selector._parts[0]
    row = {image: row for row, image in enumerate(seen.images)}
    found = by_budget(tmp_path, "clasp_pe")
    for before, after, beta in zip((found[2], found[5]), (found[5], found[8]), (1.0, 100.0), strict=True):
        values = np.array([before.entropies.get(image, (0.0, 0.0)) for image in seen.images])
        known = [row[image] for image in before.picks]
        expected = ClaspPE(values, beta, seed=0).select(seen.target, 3, labeled=known)
        assert list(after.picks[len(before.picks) :]) == [seen.images[place] for place in expected.indices]


@pytest.mark.slow
def test_xssr_network_is_xssr_on_the_vectors_of_encoder_and_last_network(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    what = in_rounds(hospitals[1], hospitals[0], strategies=("xssr:network", "xssr", "clasp_pe"))
    simulate(what, tmp_path)
    seen = planned(what, tmp_path).planner._selector._parts[0]
    row = {image: row for row, image in enumerate(seen.images)}
    found = by_budget(tmp_path, "xssr:network")
    assert found[2].picks == by_budget(tmp_path, "xssr")[2].picks
    for before, after in pairwise(found.values()):
        assert before.features.keys() == set(seen.images)
        vectors = beside_network(seen.target, [before.features[image] for image in seen.images])
        expected = XSSR().select(vectors, 3, labeled=[row[image] for image in before.picks])
        assert list(after.picks[len(before.picks) :]) == [seen.images[place] for place in expected.indices]
    assert found[2].features != found[5].features  # of another network
    assert not found[8].features
    assert by_budget(tmp_path, "clasp_pe")[2].entropies  # the same training told both


@pytest.mark.slow
def test_entropies_of_an_earlier_version_serve_entropy_diversity_and_are_found_again_for_clasp_pe(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    for name, again in (("entropy_diversity", 0), ("clasp_pe", 2)):
        what, out = in_rounds(hospitals[1], hospitals[0], (2, 3, 3), strategies=(name,)), tmp_path / name
        simulate(what, out)
        for file in (out / "jobs").glob("*.json"):
            told = json.loads(file.read_text())
            told["entropies"] = {image: sum(values) for image, values in told["entropies"].items()}
            file.write_text(json.dumps(told))
        engine = Inline()
        assert simulate(what, out, engine) == {}
        assert len(engine.ran) == again  # those of the rounds before the last


@pytest.mark.slow
def test_auto_begins_with_xssr_and_asks_the_network_from_a_number_of_labels_on(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    rounds = (4, AUTO_LABELS - 4, 3)
    what = in_rounds(hospitals[1], hospitals[0], rounds, strategies=("auto", "xssr"))
    simulate(what, tmp_path)
    auto, xssr = by_budget(tmp_path, "auto"), by_budget(tmp_path, "xssr")
    assert auto[4].picks == xssr[4].picks
    assert auto[AUTO_LABELS].picks == xssr[AUTO_LABELS].picks
    assert len(auto[AUTO_LABELS].entropies) == POOL - AUTO_LABELS
    assert not auto[4].entropies


@pytest.mark.slow
def test_random_is_the_same_in_rounds_and_at_once(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    _, target = hospitals
    simulate(in_rounds(target, strategies=("random",), draws=2), tmp_path / "rounds")
    at_once = experiment(target, strategies=("random",), budgets=(parse_budget("8"),), seeds=1, draws=2)
    simulate(at_once, tmp_path / "once")
    assert {one.job: one.picks for one in rows(tmp_path / "once")}.items() <= {
        one.job: one.picks for one in rows(tmp_path / "rounds")
    }.items()


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_the_round_it_was_in(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    what = in_rounds(hospitals[1], hospitals[0], strategies=("cold_start", "entropy_diversity"))
    whole = Inline()
    simulate(what, tmp_path / "whole", whole)
    assert len(whole.ran) == 5  # the first round is the same for both

    class Killed(Inline):
        def __call__(self, trainings):
            for finished in super().__call__(trainings):
                yield finished
                if len(self.ran) == 4:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(what, tmp_path / "parts", Killed())
    rest = Inline()
    simulate(what, tmp_path / "parts", rest)
    assert len(rest.ran) == 1
    assert comparable(tmp_path / "parts") == comparable(tmp_path / "whole")
    nothing = Inline()
    simulate(what, tmp_path / "parts", nothing)
    assert nothing.ran == []


@pytest.mark.slow
def test_a_strategy_that_is_added_later_looks_at_the_pool_with_a_network_trained_again(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    simulate(in_rounds(target, source, strategies=("cold_start",)), tmp_path / "out")
    engine = Inline()
    both = in_rounds(target, source, strategies=("cold_start", "entropy_diversity"))
    simulate(both, tmp_path / "out", engine)
    assert len(engine.ran) == 3
    simulate(both, tmp_path / "at once")
    assert comparable(tmp_path / "out") == comparable(tmp_path / "at once")


@pytest.mark.slow
def test_labels_that_were_not_paid_for_decide_nothing(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    what = in_rounds(target, source, strategies=("entropy_diversity",))
    simulate(what, tmp_path / "with")
    paid = {image for one in rows(tmp_path / "with") for image in (*one.picks, *one.cases)}
    for label in (target / "labels").iterdir():
        if label.stem not in paid:
            write_png(label, np.eye(40, 36, dtype=np.uint8))
    simulate(what, tmp_path / "without")
    assert comparable(tmp_path / "with") == comparable(tmp_path / "without")


@pytest.mark.slow
def test_a_round_that_fails_takes_those_after_it_along_and_no_others(copies: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = copies
    what = in_rounds(target, source, strategies=("entropy_diversity", "random"))
    simulate(what, tmp_path / "first")
    third = by_budget(tmp_path / "first", "entropy_diversity")[5].picks[2]
    (target / "labels" / f"{third}.png").unlink()
    failed = simulate(in_rounds(target, source, strategies=("entropy_diversity",)), tmp_path / "second")
    assert list(failed) == ["entropy_diversity-5-d0-s0", "entropy_diversity-8-d0-s0"]
    assert f"the image {third} has no label" in failed["entropy_diversity-5-d0-s0"]
    assert failed["entropy_diversity-8-d0-s0"] == "it needs entropy_diversity-5-d0-s0, which could not be run."
    assert list(by_budget(tmp_path / "second", "entropy_diversity")) == [2]


def test_rounds_and_single_budgets_are_not_mixed(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    _, target = hospitals
    simulate(in_rounds(target, strategies=("random",)), tmp_path)
    with pytest.raises(UserError, match=r"holds results of other settings \(rounds\); name another folder"):
        simulate(in_rounds(target, rounds=(2, 6), strategies=("random",)), tmp_path)


@pytest.mark.parametrize(
    ("budget", "strategies", "message"),
    [
        ("8", "auto", "--strategies auto: asks the network of the round before; name rounds"),
        ("5+x", "random", r"--budget 5\+x: rounds must be numbers of labels"),
        ("5%+5%", "random", "rounds must be numbers of labels"),
        ("5+0", "random", "rounds must be numbers of labels"),
        ("9+9", "random", "--budget 18: the pool has only 16 readable images"),
    ],
)
def test_rounds_that_cannot_be_run_are_refused_in_one_sentence(
    hospitals: tuple[Path, Path], tmp_path: Path, budget: str, strategies: str, message: str, capsys
) -> None:
    words = ["--target", str(hospitals[1]), "--budget", budget, "--strategies", strategies, "--preset", "xray"]
    assert main(["simulate", *words, "--labels", "blob", "--out", str(tmp_path / "out")]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(message, said), said
    assert "Traceback" not in said
