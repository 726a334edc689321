"""What is asked of the segmentation trainer: the settings of viewers, and what it refuses without losing anything."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.phantoms import write_png
from tests.support.trainings import SHORT, XRAY, same, studies, trainer, weights
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.methods import supervised
from xssr_strategy.segmentation.pair_cache import DiskCache


def test_what_viewers_send_is_understood(tmp_path: Path) -> None:
    """Nothing changed: the lists and numbers of ``config()`` come back, some of them as text."""
    task = trainer(tmp_path)
    sent = {key: value if isinstance(value, (list, bool)) else str(value) for key, value in task.config().items()}
    sent |= {"max_epochs": "1", "steps_per_epoch": "2", "seed": "", "train_batch_size": "2.0", "client_id": "slicer"}
    stats = task({"model": "segmentation", **json.loads(json.dumps(sent))}, studies(tmp_path / "studies", 1, 2, 1))
    assert stats["epoch"] == 1
    assert [type(cache) for cache in task.caches] == [DiskCache]
    assert stats["method"] == "supervised"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_epochs", "many"),
        ("max_epochs", 0),
        ("max_epochs", "1.5"),
        ("max_epochs", float("inf")),
        ("train_batch_size", -1),
        ("pretrained", "perhaps"),
        ("dataset", "SmartCacheDataset"),
        ("val_split", 1.0),
        ("seed", {}),
    ],
)
def test_a_bad_setting_is_named_in_one_line(
    tmp_path: Path, key: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UserError, match=f"training setting {key}"):
        trainer(tmp_path)({key: value}, studies(tmp_path / "studies", 1, 2, 1))
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "\n" not in errors[0].getMessage()


def test_without_a_usable_label_nothing_is_touched(tmp_path: Path) -> None:
    task = trainer(tmp_path)
    datastore = studies(tmp_path / "studies", 2, 2, 1)
    task(SHORT, datastore)
    before = weights(tmp_path)
    for pair in datastore.datalist():
        write_png(Path(pair["label"]), np.ones((5, 5)))
    with pytest.raises(UserError, match="no usable label"):
        task(SHORT, datastore)
    assert same(before, weights(tmp_path))


def test_a_training_that_fails_leaves_no_cache_and_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datastore = studies(tmp_path / "studies", 2, 2, 1)
    trainer(tmp_path)(SHORT, datastore)
    before = weights(tmp_path)

    def refuses(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no loss")

    monkeypatch.setattr(supervised, "build_loss", lambda: refuses)
    with pytest.raises(RuntimeError, match="no loss"):
        trainer(tmp_path)(SHORT, datastore)
    assert same(before, weights(tmp_path))
    assert not list((tmp_path / "logs").rglob("cache_*"))


def test_the_settings_show_the_length_of_the_servers_own_method(tmp_path: Path) -> None:
    """A step of UST-RUN takes up to four times as long as a supervised one."""
    for method, epochs in (("supervised", 30), ("auto", 30), ("ust_run", 17)):
        assert trainer(tmp_path, XRAY, ("blob",), method).config()["max_epochs"] == epochs


def test_ablations_are_not_on_offer(tmp_path: Path) -> None:
    task = trainer(tmp_path)
    assert task.config()["method"] == [
        "supervised",
        "auto",
        "fixmatch",
        "ust_run",
        "single_strip",
        "poly_cl",
        "conv_mae",
    ]
    with pytest.raises(UserError, match="'ust_run:no-queue' is not one of supervised, auto, fixmatch, ust_run"):
        task.checked({"method": "ust_run:no-queue"})
