"""Labels of another hospital, and none of this one: a first network before anybody has drawn a mask."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.chaos.clicks import Clicks, Refused
from tests.chaos.pool import wait_until
from tests.support.data import MONTGOMERY, SHENZHEN, held_out, need
from tests.support.harness import copy_pool
from tests.support.slicer import Slicer
from tests.support.slicer_room import PICTURES, refusal, same_place, wait_for_training
from tests.support.warm import start_server
from xssr_strategy.demo.annotator import mean_dice

pytestmark = pytest.mark.e2e

POOL, SOURCE = 16, 20


def test_a_first_mask_from_the_labels_of_the_source_alone(tmp_path: Path) -> None:
    need(SHENZHEN)
    test = held_out(SHENZHEN)
    ids = sorted({path.stem for path in (SHENZHEN / "images").iterdir()} - set(test))[:POOL]
    of_source = sorted(path.stem for path in (MONTGOMERY / "images").iterdir())[:SOURCE]
    studies = copy_pool(SHENZHEN / "images", ids, tmp_path / "studies")
    conf = {
        "source": copy_pool(MONTGOMERY / "images", of_source, tmp_path / "source" / "images"),
        "source_labels": copy_pool(MONTGOMERY / "labels", of_source, tmp_path / "source" / "labels"),
        "labels": "lung",
        "training": "ust_run",
        "encoder_steps": 3,
    }
    with start_server(studies, conf, tmp_path / "server.log") as server:
        slicer = Slicer(server.url, tmp_path / "slicer", "ann")
        slicer.connect()
        sentence = refusal(lambda: slicer.infer("segmentation", ids[0], {}))
        assert "which has 20 labels of the source to learn from" in sentence
        assert slicer.info["trainers"]["segmentation"]["config"]["method"][0] == "ust_run"
        wait_until(Clicks(server.url).nothing_runs, 600)
        slicer.start_training(max_epochs=2, steps_per_epoch=30)
        assert wait_for_training(slicer)["status"] == "DONE"
        stats = slicer.connect()["train_stats"]["segmentation"]
        assert (stats["labels"]["trained_on"], stats["labels"]["of_source"]) == (0, SOURCE)
        assert (stats["method"], stats["epoch"]) == ("ust_run", 2)
        found = []
        for _ in range(6):
            slicer.mask = None
            sample = slicer.next_sample()  # which is segmented as soon as it is open
            assert slicer.scene is not None
            assert slicer.mask is not None
            assert same_place(slicer.mask, slicer.scene.volume)
            found.append(mean_dice(sitk.GetArrayFromImage(slicer.mask), PICTURES.drawn(sample["id"])))
        assert np.mean(found) > 0.5
        assert slicer.connect()["datastore"]["completed"] == 0
        a_training_is_stopped(Clicks(server.url))
        slicer.run_model()  # by the network of before


def a_training_is_stopped(clicks: Clicks) -> None:
    """In the middle; a second one waits for nobody."""
    clicks.train(max_epochs=500, steps_per_epoch=2)
    wait_until(lambda: clicks.info()["train_stats"]["segmentation"]["max_epochs"] == 500, 300)
    wait_until(lambda: clicks.info()["train_stats"]["segmentation"]["epoch"] >= 1, 300)
    with pytest.raises(Refused, match="A train task runs already; wait until it has ended, or end it by DELETE"):
        clicks.train()
    stats = clicks.info()["train_stats"]["segmentation"]
    assert stats["stage"] == "semi-supervised"
    assert 0 < stats["epoch"] < 500
    assert clicks.ask("DELETE", "/train/")["status"] == "STOPPED"
    epoch = clicks.info()["train_stats"]["segmentation"]["epoch"]
    wait_until(lambda: clicks.nothing_runs("train"), 60)
    time.sleep(2)  # some twenty steps
    assert clicks.info()["train_stats"]["segmentation"]["epoch"] == epoch
