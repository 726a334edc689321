from __future__ import annotations

import json
import logging
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.phantoms import phantom_pairs
from tests.support.trainings import MRI, SHORT, XRAY, same, studies, trainer, weights
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.segmentation import transforms
from xssr_strategy.segmentation.methods.recipe import RECIPE
from xssr_strategy.segmentation.pair_cache import DiskCache
from xssr_strategy.segmentation.publication import publish, published_plan
from xssr_strategy.storage.atomic_files import locked_temporary_folder
from xssr_strategy.tasks import segmentation_trainer
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "labels"), [(XRAY, ("blob",)), (XRAY, ("a", "b", "c")), (MRI, ("anterior", "posterior"))]
)
def test_labels_in_useful_masks_out(tmp_path: Path, preset: Preset, labels: tuple[str, ...]) -> None:
    """The whole way through MONAI Label's own classes, with a budget of seconds."""
    datastore = studies(tmp_path / "studies", 6, preset.spatial_dims, len(labels))
    held_out = datastore.datalist()[0]
    (tmp_path / "held_out").mkdir()
    image = Path(shutil.move(held_out["image"], tmp_path / "held_out"))
    mask = Path(shutil.move(held_out["label"], tmp_path / ("mask" + "".join(image.suffixes))))
    datastore.refresh()
    task = trainer(tmp_path, preset, labels)
    stats = task({"model": "segmentation", "max_epochs": 4, "steps_per_epoch": 20, "train_batch_size": 4}, datastore)
    assert stats["epoch"] == stats["max_epochs"] == stats["total_epochs"] == 4

    infer = SegmentationInfer(tmp_path / "model" / "segmentation.pt", preset, labels)
    assert infer.is_valid()
    file, _ = infer({"image": str(image), "device": "cpu"})
    predicted, truth = (_array(Path(path)) for path in (file, mask))
    for label in range(1, len(labels) + 1):
        hit = 2 * ((predicted == label) & (truth == label)).sum()
        assert hit / ((predicted == label).sum() + (truth == label).sum()) > 0.8
    Path(file).unlink()


def _array(path: Path) -> np.ndarray:
    return read_image(path).numpy()[0]


def test_progress_is_there_from_the_start_and_moves_every_epoch(tmp_path: Path) -> None:
    task = trainer(tmp_path)
    datastore = studies(tmp_path / "studies", 2, 2, 1)
    task({**SHORT, "max_epochs": 3}, datastore)
    assert [stats["epoch"] for stats in task.seen] == [0, 1, 2, 3, 3, 3]
    assert [stats["stage"] for stats in task.seen] == ["", *3 * ["supervised"], *2 * ["mask quality"]]
    assert ["total_time" in stats for stats in task.seen] == [False] * 5 + [True]
    assert all(stats["max_epochs"] == 3 and stats["current_time"] for stats in task.seen)
    assert all(0 <= stats["train"]["metrics"]["train_mean_dice"] <= 1 for stats in task.seen[1:])
    assert 0 <= task.stats()["best_metric"] <= 1
    assert "NaN" not in json.dumps(task.seen)
    task(SHORT, datastore)
    assert "total_time" not in task.seen[6]  # the old end does not stand while the next training runs


def test_the_model_is_published_once_and_at_the_end(tmp_path: Path) -> None:
    task = trainer(tmp_path)
    task(SHORT, studies(tmp_path / "studies", 2, 2, 1))
    assert task.published_during == [False] * 4 + [True]
    plan = published_plan(tmp_path / "model" / "segmentation.pt")
    assert (plan.labels, plan.roi) == (("blob",), (48, 48))
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file() and "studies" not in path.parts)
    assert left == ["segmentation.pt", "train_stats.json"]


def test_what_a_killed_training_left_is_removed_but_not_the_cache_of_one_that_runs(tmp_path: Path) -> None:
    task, datastore = trainer(tmp_path), studies(tmp_path / "studies", 1, 2, 1)
    task(SHORT, datastore)
    folder = tmp_path / "logs" / "segmentation"
    for name in ("cache_killed", "cache_running"):
        (folder / name).mkdir()
        (folder / name / "volume.pt").touch()
    with locked_temporary_folder(folder / "cache_running"):  # as another server does
        task(SHORT, datastore)
        assert {path.name for path in folder.glob("cache_*")} == {"cache_running"}
        assert (folder / "cache_running" / "volume.pt").exists()
    assert list(folder.iterdir()) == []  # nor a lock


@pytest.mark.parametrize("method", ["supervised", pytest.param("ust_run", marks=pytest.mark.slow)])
def test_a_training_that_was_killed_goes_on_at_its_last_finished_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    datastore = studies(tmp_path / "studies", 2, 2, 1)
    elsewhere = {"u": Path(phantom_pairs(tmp_path / "elsewhere", 1, 2, 1)[0]["image"])}
    trainer(tmp_path / "whole", XRAY, ("blob",), method, lambda datastore: elsewhere)(SHORT, datastore)

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    task = trainer(tmp_path, XRAY, ("blob",), method, lambda datastore: elsewhere)
    monkeypatch.setattr(segmentation_trainer, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        task(SHORT, datastore)
    monkeypatch.setattr(segmentation_trainer, "publish", publish)
    (stage,) = tmp_path.rglob("mask quality.pt")
    stage.write_bytes(b"half")
    before = len(task.seen)
    task(SHORT, datastore)
    assert {stats["stage"] for stats in task.seen[before:]} == {
        "",
        "mask quality",
    }  # the damaged one alone is run again
    assert same(weights(tmp_path), weights(tmp_path / "whole"))
    assert not list(tmp_path.rglob("stages_*"))


def test_a_reader_never_sees_half_a_model(tmp_path: Path) -> None:
    task = trainer(tmp_path)
    task(SHORT, studies(tmp_path / "studies", 1, 2, 1))
    path = tmp_path / "model" / "segmentation.pt"
    plan, state = published_plan(path), weights(tmp_path)
    stop = threading.Event()

    def publish_on_and_on() -> None:
        while not stop.is_set():
            publish(state, plan, path)

    writer = threading.Thread(target=publish_on_and_on)
    writer.start()
    try:
        for _ in range(20):
            assert same(weights(tmp_path), state)
            assert published_plan(path) == plan
    finally:
        stop.set()
        writer.join()


def test_same_labels_same_network_in_any_order(tmp_path: Path) -> None:
    datastore = studies(tmp_path / "studies", 4, 2, 1)

    class Reversed:
        def datalist(self) -> list[dict[str, str]]:
            return list(reversed(datastore.datalist()))

    trainer(tmp_path)(SHORT, datastore)
    first = weights(tmp_path)
    torch.seed()  # MONAI Label trains each time in a new process, which starts at a random state
    trainer(tmp_path)({**SHORT, "dataset": "Dataset"}, Reversed())  # type: ignore[arg-type]
    assert same(first, weights(tmp_path))
    trainer(tmp_path)({**SHORT, "seed": 1}, datastore)
    assert not same(first, weights(tmp_path))


def test_pretrained_continues_from_the_published_model_if_it_fits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    datastore = studies(tmp_path / "studies", 2, 2, 2)
    one, two = trainer(tmp_path), trainer(tmp_path, labels=("a", "b"))
    one(SHORT, datastore)
    published = weights(tmp_path)
    monkeypatch.setattr(segmentation_trainer, "RECIPE", replace(RECIPE, learning_rate=0.0))  # nothing changes
    one({**SHORT, "pretrained": True, "seed": 5}, datastore)
    assert same(published, weights(tmp_path))
    one({**SHORT, "seed": 5}, datastore)
    assert not same(published, weights(tmp_path))
    with caplog.at_level(logging.WARNING):
        two({**SHORT, "pretrained": "true"}, datastore)  # of one label more
    assert "does not fit" in caplog.text
    assert len(published_plan(tmp_path / "model" / "segmentation.pt").labels) == 2


def test_by_default_each_volume_is_read_once_for_each_network_and_none_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = transforms.ReadPair.__call__

    def counting(self: transforms.ReadPair, data: Any) -> Any:
        read.append(data["image"])
        return original(self, data)

    monkeypatch.setattr(transforms.ReadPair, "__call__", counting)
    task = trainer(tmp_path, MRI)
    datastore = studies(tmp_path / "studies", 3, 3, 1)
    task({**SHORT, "max_epochs": 3}, datastore)
    images = [pair["image"] for pair in datastore.datalist()]
    assert sorted(read) == sorted([*images, *images])  # what judges the masks reads them once, too
    assert [type(cache) for cache in task.caches] == [DiskCache]  # which keeps paths, no pixels


def test_an_epoch_has_the_same_number_of_steps_for_one_label_and_for_many(tmp_path: Path) -> None:
    for count in (1, 7):
        task = trainer(tmp_path)
        task(SHORT, studies(tmp_path / f"studies{count}", count, 2, 1))
        assert task.stats()["total_iterations"] == 2
        assert task.stats()["current_iteration"] == 4


def test_with_enough_labels_the_best_epoch_is_published_and_training_stops_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation_trainer, "VALIDATE_FROM", 5)
    monkeypatch.setattr(
        segmentation_trainer, "RECIPE", replace(RECIPE, learning_rate=0.0)
    )  # nothing improves after the first epoch
    task = trainer(tmp_path)
    stats = task({**SHORT, "max_epochs": 10, "early_stop_patience": 2}, studies(tmp_path / "studies", 5, 2, 1))
    assert task.trained_on == [(4, 1)]
    assert stats["epoch"] == 3  # the best and two more
    assert stats["eval"]["best_metric_epoch"] == 1
    assert stats["best_metric"] == stats["eval"]["best_metric"]
    assert "total_time" in stats


def test_below_the_threshold_every_label_trains(tmp_path: Path) -> None:
    task = trainer(tmp_path)
    task(SHORT, studies(tmp_path / "studies", 6, 2, 1))
    assert task.trained_on == [(6, 0)]


def test_info_names_the_labels_after_a_training_too(tmp_path: Path) -> None:
    task = trainer(tmp_path, labels=("a", "b"))
    task(SHORT, studies(tmp_path / "studies", 1, 2, 2))
    assert task.info()["labels"] == ["a", "b"]
