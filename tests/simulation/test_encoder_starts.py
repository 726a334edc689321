"""Trainings that begin with an encoder's weights: which encoder, and that another one is another training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.hospitals import experiment, hospital, planned, rows, simulate
from tests.support.phantoms import write_png
from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.errors import UserError
from xssr_strategy.simulation.domains import read_domain
from xssr_strategy.simulation.work import Training


def test_a_training_begins_with_the_encoder_of_its_method_and_seed(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    methods = ("supervised", "conv_mae", "poly_cl", "conv_mae:scratch")
    what = experiment(target, source, strategies=("xssr",), seeds=2, encoders=2, methods=methods, encoder_steps=1)
    found: dict[tuple[str, int], Training] = {
        (one.job.method, one.job.seed): one.training for one in planned(what, tmp_path / "out").jobs
    }
    begun = {key: training.encoder.id for key, training in found.items() if training.encoder is not None}
    assert {key[0] for key in begun} == {"conv_mae", "poly_cl"}
    assert all(encoder.startswith(f"{name}-") for (name, _), encoder in begun.items())
    assert len(set(begun.values())) == 4  # one for each seed
    for (name, seed), training in found.items():
        if training.encoder is not None:
            assert load_encoder(training.encoder.path).id == begun[name, seed]
    assert len({training.digest for training in found.values()}) == len(found)


def test_other_steps_of_the_encoder_are_another_training(hospitals: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = hospitals
    what = experiment(target, source, strategies=("full",), seeds=1, methods=("conv_mae",), encoder_steps=1)
    (one,) = planned(what, tmp_path / "one").jobs
    longer = replace(what, protocol=replace(what.protocol, encoder_steps=2))
    (other,) = planned(longer, tmp_path / "other").jobs
    assert one.choice.picks == other.choice.picks
    assert one.training.digest != other.training.digest


def test_an_encoder_learns_whose_pictures_are_whose(tmp_path: Path) -> None:
    target = hospital(tmp_path / "target", 1, test=2, count=8)

    def encoder() -> str:
        what = experiment(target, strategies=("full",), methods=("poly_cl",), encoder_steps=1, seeds=1)
        (one,) = planned(what, tmp_path / "out").jobs
        assert one.training.encoder is not None
        return one.training.encoder.id

    alone = encoder()
    table = target / "patients.csv"
    table.write_text("image,patient\nscan00,A\nscan01,A\nscan02,B\n")
    of_patients = encoder()
    table.write_text("image,patient\nscan00,A\nscan01,B\nscan02,B\n")
    assert len({alone, of_patients, encoder()}) == 3
    table.write_text("image,patient\nscan00,A\nscan01,A\nscan02,B\n")
    assert encoder() == of_patients


@pytest.mark.slow
def test_such_trainings_are_run_and_are_not_those_with_drawn_weights(
    hospitals: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = hospitals
    methods = ("poly_cl", "poly_cl:scratch", "conv_mae", "conv_mae:scratch")
    what = experiment(target, source, strategies=("xssr",), seeds=1, methods=methods, encoder_steps=1)
    assert simulate(what, tmp_path / "out") == {}
    assert len({one.dice for one in rows(tmp_path / "out")}) == 4


def test_an_encoder_learns_from_labels_of_the_source_and_from_none_of_the_target(tmp_path: Path) -> None:
    source, target = hospital(tmp_path / "source", 0, count=6), hospital(tmp_path / "target", 1, test=2, count=6)
    what = experiment(target, source, strategies=("full",), seeds=1, methods=("poly_cl:organ",), encoder_steps=1)
    labelled = replace(what, source=read_domain(source, "--source"))
    with pytest.raises(UserError, match="needs slices that hold one and slices that hold none"):
        planned(labelled, tmp_path / "all-hold-it")
    for number in range(3):
        write_png(source / "labels" / f"scan{number:02}.png", np.zeros((40, 36), np.uint8))
    (before,) = planned(labelled, tmp_path / "before").jobs
    assert before.training.encoder is not None
    for label in (target / "labels").iterdir():
        write_png(label, np.eye(40, 36, dtype=np.uint8))
    (after,) = planned(labelled, tmp_path / "after").jobs
    assert after.training.encoder is not None
    assert before.training.encoder.id == after.training.encoder.id
    write_png(source / "labels" / "scan03.png", np.zeros((40, 36), np.uint8))
    (corrected,) = planned(labelled, tmp_path / "after").jobs
    assert corrected.training.encoder is not None
    assert corrected.training.encoder.id != after.training.encoder.id
