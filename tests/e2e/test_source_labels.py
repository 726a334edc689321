"""Labels of another hospital, and none of this one: a first network before anybody has drawn a mask."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.chaos.clicks import Clicks, Refused
from tests.chaos.pool import wait_until
from tests.support.data import MONTGOMERY, SHENZHEN, held_out, need
from tests.support.harness import copy_pool, pixels
from tests.support.warm import start_server
from xssr_strategy.demo.annotator import RestAnnotator, mean_dice

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
        annotator = RestAnnotator(server.url)
        with pytest.raises(Exception, match="which has 20 labels of the source to learn from"):
            annotator.segment(SHENZHEN / "images" / f"{test[0]}.png")
        assert annotator.client.info()["trainers"]["segmentation"]["config"]["method"][0] == "ust_run"
        wait_until(Clicks(server.url).nothing_runs, 600)
        annotator.train(600, max_epochs=2, steps_per_epoch=30)
        stats = annotator.client.info()["train_stats"]["segmentation"]
        assert (stats["labels"]["trained_on"], stats["labels"]["of_source"]) == (0, SOURCE)
        assert (stats["method"], stats["epoch"]) == ("ust_run", 2)
        found = []
        for image in test[:6]:
            mask = annotator.segment(SHENZHEN / "images" / f"{image}.png")
            truth = pixels(SHENZHEN / "labels" / f"{image}.png") > 0
            found.append(mean_dice(pixels(mask), truth.astype(np.uint8)))
            mask.unlink()
        assert np.mean(found) > 0.5
        assert annotator.client.info()["datastore"]["completed"] == 0
        a_training_is_stopped(Clicks(server.url))
        annotator.segment(SHENZHEN / "images" / f"{test[0]}.png").unlink()  # by the network of before


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
