"""The trainers that a server offers, made of its settings alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from tests.support.app import CONF, App
from tests.support.pools import write
from tests.support.trainings import SHORT
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.planned_network import EncoderUNet
from xssr_strategy.segmentation.publication import load_model
from xssr_strategy.tasks.encoder_start import encoder_to_start_from
from xssr_strategy.tasks.trainers import served_trainers


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    return App(tmp_path)


def test_a_server_that_is_told_nothing_learns_from_unlabelled_images_where_that_helps(app: App) -> None:
    app.reopen({**CONF, "labels": "lung"})
    assert served_trainers(app.project)["segmentation"].config()["method"][0] == "auto"


def test_the_settings_reach_the_trainer_that_viewers_get_first(app: App, tmp_path: Path) -> None:
    images = write(tmp_path / "source" / "images", 3, 7)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    (tmp_path / "source" / "labels").mkdir()
    for image in ("i00", "i01"):  # the third has none
        Image.fromarray(mask).save(tmp_path / "source" / "labels" / f"{image}.png")
    source = {"source": str(images), "source_labels": str(tmp_path / "source")}
    app.reopen({**CONF, **source, "labels": "lung", "training": "ust_run"})

    trainers = served_trainers(app.project)
    assert list(trainers) == ["segmentation", "encoder"]  # OHIF and Slicer select the first
    segmentation = trainers["segmentation"]
    assert segmentation.info()["labels"] == ["lung"]
    assert segmentation.config()["method"][0] == "ust_run"
    told = segmentation(SHORT, app.datastore)
    assert told["method"] == "ust_run"  # 16 images of the pool and one of the source are unlabelled
    assert (told["labels"]["trained_on"], told["labels"]["of_source"]) == (0, 2)
    assert app.project.workspace.segmentation.is_file()


def test_a_training_begins_with_the_encoder_of_the_selection_and_trains_another_that_is_missing(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    project = app.project
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    for image in sorted(app.datastore.list_images())[:2]:
        file = app.studies / "labels" / "final" / f"{image}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(file)
    app.reopen({**CONF, "labels": "lung"})
    project, segmentation = app.project, served_trainers(app.project)["segmentation"]
    own = project.workspace.encoder(project.settings, project.preset)
    assert not own.exists()
    with caplog.at_level("INFO"):
        told = segmentation({**SHORT, "method": "conv_mae"}, app.datastore)
    assert (told["method"], told["labels"]["trained_on"]) == ("conv_mae", 2)
    assert "training encoder" in caplog.text
    network, plan = load_model(project.workspace.segmentation)
    assert isinstance(network, EncoderUNet)
    assert plan.widths == project.preset.encoder_channels

    written = own.stat().st_mtime_ns  # by which the selection goes on
    caplog.clear()
    with caplog.at_level("INFO"):
        segmentation({**SHORT, "method": "conv_mae"}, app.datastore)
    assert "training encoder" not in caplog.text
    assert own.stat().st_mtime_ns == written

    assert segmentation({**SHORT, "method": "poly_cl"}, app.datastore)["method"] == "poly_cl"
    other = project.workspace.encoder(replace(project.settings, encoder="poly_cl"), project.preset)
    assert other.exists()
    assert not isinstance(load_model(project.workspace.segmentation)[0], EncoderUNet)

    caplog.clear()
    other.unlink()
    with caplog.at_level("INFO"):
        segmentation({**SHORT, "method": "poly_cl", "pretrained": True}, app.datastore)
    assert "not from an encoder" in caplog.text
    assert not other.exists()  # the published network is the start
    with FileLock(project.workspace.lock), pytest.raises(UserError, match="the scoring is at work with the images"):
        segmentation({**SHORT, "method": "poly_cl"}, app.datastore)
    with FileLock(project.workspace.lock):  # which is none of a training's business whose encoder is there
        assert segmentation({**SHORT, "method": "conv_mae"}, app.datastore)["method"] == "conv_mae"


def test_an_encoder_that_is_not_the_selections_learns_again_once_the_pool_has_grown_by_half(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    other = app.project.workspace.encoder(replace(app.project.settings, encoder="poly_cl"), app.project.preset)
    encoder_to_start_from(app.project, "poly_cl", app.datastore)
    written = other.stat().st_mtime_ns
    encoder_to_start_from(app.project, "poly_cl", app.datastore)
    assert other.stat().st_mtime_ns == written
    write(app.studies, 24, 7)
    app.reopen(CONF)
    with FileLock(app.project.workspace.lock), caplog.at_level("WARNING"):  # somebody else is at work
        encoder_to_start_from(app.project, "poly_cl", app.datastore)
    assert "The encoder is as it was: encoder poly_cl" in caplog.text
    assert other.stat().st_mtime_ns == written
    encoder_to_start_from(app.project, "poly_cl", app.datastore)
    assert other.stat().st_mtime_ns != written
