"""Refined masks beside those of the network: one training, two rows, and both in every table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import run as command
from tests.support.hospitals import Inline, experiment, rows, simulate
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.refinement.refine import MARGIN
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter
from xssr_strategy.simulation import work
from xssr_strategy.simulation.results import REFINED, Job

TWINS = ("supervised", f"supervised{REFINED}")


class InnerBoxes(BoxSegmenter):
    """Finds that a box is full of the thing but for its margin."""

    name = "boxes"

    def segment(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        found = np.zeros((len(boxes), *picture.shape[-2:]), np.float32)
        for one, (top, left, bottom, right) in zip(found, boxes, strict=True):
            one[top + MARGIN : bottom - MARGIN, left + MARGIN : right - MARGIN] = 0.9
        return found


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that stands for weights; what they find is told here."""
    monkeypatch.setattr(work, "_segmenter", lambda folder, side, device: InnerBoxes())
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "weights"


def test_a_training_is_judged_with_and_without_refinement(
    hospitals: tuple[Path, Path], tmp_path: Path, weights: Path
) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("xssr",), seeds=1, methods=TWINS, steps=40, refine_by=(weights, 0))
    engine = Inline()
    assert simulate(what, tmp_path / "out", engine) == {}
    assert len(engine.ran) == 1
    found = {one.job.method: one for one in rows(tmp_path / "out")}
    plain, refined = (found[method] for method in TWINS)
    assert plain.training == refined.training
    assert plain.picks == refined.picks
    assert plain.dice != refined.dice
    assert np.shape(plain.dice) == np.shape(refined.dice) == np.shape(refined.hd95) == np.shape(refined.asd)
    alone = experiment(target, source, strategies=("xssr",), seeds=1, steps=40)
    simulate(alone, tmp_path / "alone")
    assert rows(tmp_path / "alone")[0].dice == plain.dice


def test_what_is_there_is_not_trained_again_and_what_is_lost_is(
    hospitals: tuple[Path, Path], tmp_path: Path, weights: Path
) -> None:
    source, target = hospitals
    out = tmp_path / "out"
    what = experiment(target, source, strategies=("full",), seeds=1, methods=TWINS, refine_by=(weights, 0))
    simulate(what, out)
    before = rows(out)
    engine = Inline()
    simulate(what, out, engine)
    assert engine.ran == []
    lost = next(one.job for one in before if one.job.refined)
    (out / "jobs" / f"{lost.name}.json").unlink()
    simulate(what, out, engine)
    assert [training.refine_by for training in engine.ran] == [(weights, 0)]
    assert repr(rows(out)) == repr(before)


def test_refined_masks_join_results_that_are_there_and_leave_them_again(
    hospitals: tuple[Path, Path], tmp_path: Path, weights: Path
) -> None:
    source, target = hospitals
    out = tmp_path / "out"
    plain = experiment(target, source, strategies=("full",), seeds=1)
    simulate(plain, out)
    refined = replace(plain, methods=TWINS, protocol=replace(plain.protocol, refine_by=(weights, 0)))
    simulate(refined, out)
    assert len(rows(out)) == 2
    engine = Inline()
    simulate(plain, out, engine)
    assert engine.ran == []
    (weights / "model.safetensors").write_bytes(b"others")
    with pytest.raises(UserError, match=r"holds results of other settings \(refine by\)"):
        simulate(refined, out)


def test_the_training_of_refined_masks_is_that_of_the_method_before() -> None:
    job = Job("xssr", 5, 0, method=f"ust_run{REFINED}")
    assert (job.training_method, job.refined) == ("ust_run", True)
    plain = replace(job, method="ust_run")
    assert (plain.training_method, plain.refined) == ("ust_run", False)
    assert job.name == "xssr-5-d0-s0-ust_run+sam2"


def test_weights_that_are_none_stop_the_command(
    hospitals: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, target = hospitals
    with pytest.raises(SystemExit):
        command(capsys, "simulate", "--target", target, "--out", tmp_path / "out", "--refine", tmp_path / "nowhere")
    assert "nowhere: config.json is missing; fetch SAM 2" in " ".join(capsys.readouterr().err.split())
