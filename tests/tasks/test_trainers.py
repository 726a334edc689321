"""The trainers that a server offers, made of its settings alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.app import CONF, App
from tests.support.pools import write
from tests.support.trainings import SHORT
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
