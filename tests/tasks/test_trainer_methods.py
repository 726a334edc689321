"""Which training method the server's trainer uses, and what it gives to it."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monailabel.datastore.local import LocalDatastore
from PIL import Image

from tests.support.phantoms import phantom_pairs
from tests.support.trainings import SHORT, XRAY, same, studies, trainer, weights
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import Stage
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.supervised import Supervised

spawn = multiprocessing.get_context("spawn")


def test_a_request_names_the_training_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that uses unlabelled images is given them; the settings say which method trained."""
    seen: list[Mapping[str, Path]] = []

    class Curious(Supervised):
        uses_unlabelled = True

        def stages(self, data: TrainingData, *rest: Any) -> Iterator[Stage]:
            seen.append(data.unlabelled)
            return super().stages(data, *rest)

    monkeypatch.setitem(METHODS, "curious", Curious)
    datastore = studies(tmp_path / "studies", 2, 2, 1)
    elsewhere = {"target a": Path(phantom_pairs(tmp_path / "elsewhere", 1, 2, 1)[0]["image"])}
    task = trainer(tmp_path, XRAY, ("blob",), "curious", lambda datastore: elsewhere)
    menu = task.config()["method"]
    assert menu == [
        "curious",
        "auto",
        "supervised",
        "fixmatch",
        "ust_run",
        "single_strip",
        "poly_cl",
        "conv_mae",
    ]  # what the server is set to comes first
    assert task(SHORT, datastore)["method"] == "curious"
    assert seen == [elsewhere]
    assert task({**SHORT, "method": "supervised"}, datastore)["method"] == "supervised"
    assert len(seen) == 1
    with pytest.raises(UserError, match="training setting method: 'guessing' is not one of curious, auto, supervised"):
        task({**SHORT, "method": "guessing"}, datastore)


@pytest.mark.parametrize(
    ("server", "unlabelled", "asked", "method", "epochs"),
    [
        ("auto", 3, {}, "ust_run", 2),
        ("auto", 2, {}, "supervised", 3),
        ("auto", 3, {"max_epochs": 3}, "ust_run", 2),
        ("auto", 3, {"max_epochs": 1}, "ust_run", 1),
        ("auto", 2, {"method": "ust_run", "max_epochs": 3}, "ust_run", 2),
        ("supervised", 2, {"method": "ust_run", "max_epochs": 3}, "ust_run", 2),
        ("supervised", 2, {"method": ["ust_run"], "max_epochs": 4}, "ust_run", 4),
        ("ust_run", 2, {"method": "supervised", "max_epochs": "2"}, "supervised", 3),
        ("ust_run", 0, {"max_epochs": 2}, "supervised", 3),
    ],
)
def test_auto_looks_at_labels_and_unlabelled_images(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    server: str,
    unlabelled: int,
    asked: Mapping[str, Any],
    method: str,
    epochs: int,
) -> None:
    """So many epochs as the method needs, unless the request asks for others than the settings show."""

    class Three(Supervised):
        epochs = 3

    class Two(Supervised):
        uses_unlabelled = needs_unlabelled = True
        epochs = 2

    monkeypatch.setitem(METHODS, "supervised", Three)
    monkeypatch.setitem(METHODS, "ust_run", Two)
    pairs = phantom_pairs(tmp_path / "unlabelled", unlabelled, 2, 1) if unlabelled else []
    images = {f"target {number}": Path(pair["image"]) for number, pair in enumerate(pairs)}
    task = trainer(tmp_path, XRAY, ("blob",), server, lambda datastore: images)
    assert task.config()["max_epochs"] == (2 if server == "ust_run" else 3)
    request = {**{key: value for key, value in SHORT.items() if key != "max_epochs"}, **asked}
    told = task(request, studies(tmp_path / "studies", 2, 2, 1))
    assert (told["method"], told["max_epochs"], told["epoch"]) == (method, epochs, epochs)
    substituted = server == "ust_run" and not unlabelled
    assert ("ust_run has no unlabelled image to learn from: the training is supervised" in caplog.text) == substituted


def test_where_no_unlabelled_image_can_be_read_the_training_is_supervised_and_so_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = {f"target {number}": tmp_path / f"{number}.png" for number in range(2)}
    for path in images.values():
        path.write_bytes(b"no picture")
    task = trainer(tmp_path, XRAY, ("blob",), "ust_run", lambda datastore: images)
    assert task({**SHORT, "max_epochs": 1}, studies(tmp_path / "studies", 2, 2, 1))["method"] == "supervised"
    assert sum(message.startswith("not learnt from: ") for message in caplog.messages) == 2
    assert "ust_run has no unlabelled image to learn from: the training is supervised" in caplog.text


@pytest.mark.slow
def test_two_trainings_at_once_on_one_workspace(tmp_path: Path) -> None:
    """As of two servers: each reads its own cache, and what is published is whole."""
    studies(tmp_path / "studies", 4, 2, 1)
    studies(tmp_path / "unlabelled", 4, 2, 1)
    for seed in (0, 1):
        _train(tmp_path / str(seed), tmp_path, seed)
    processes = [spawn.Process(target=_train, args=(tmp_path / "both", tmp_path, seed)) for seed in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sum(same(weights(tmp_path / "both"), weights(tmp_path / str(seed))) for seed in (0, 1)) == 1
    assert not list(tmp_path.rglob("cache_*"))


def _train(folder: Path, root: Path, seed: int) -> None:
    images = {path.stem: path for path in (root / "unlabelled").glob("*.png")}
    task = trainer(folder, XRAY, ("blob",), "ust_run", lambda datastore: images)
    task({**SHORT, "seed": seed}, LocalDatastore(str(root / "studies"), extensions=["*.png"], auto_reload=False))


def test_labels_of_the_source_train_alone_or_beside_those_submitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A volume among them and a label of another number are left out, each with its sentence."""
    source = phantom_pairs(tmp_path / "source", 4, 2, 1)
    source += phantom_pairs(tmp_path / "volumes", 1, 3, 1)
    numbers = np.asarray(Image.open(source[3]["label"]))
    Image.fromarray(np.where(numbers > 0, 7, 0).astype(np.uint8)).save(source[3]["label"])
    elsewhere = Path(phantom_pairs(tmp_path / "elsewhere", 1, 2, 1)[0]["image"])
    unlabelled = {"source 0": Path(source[0]["image"]), "target a": elsewhere}
    seen: list[TrainingData] = []

    class Curious(Supervised):
        uses_unlabelled = True

        def stages(self, data: TrainingData, *rest: Any) -> Iterator[Stage]:
            seen.append(data)
            return super().stages(data, *rest)

    caplog.set_level(logging.INFO)
    none = studies(tmp_path / "none", 0, 2, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "curious", Curious)
        task = trainer(tmp_path, XRAY, ("a", "b"), "curious", lambda datastore: unlabelled, source)
        told = task(SHORT, none)["labels"]
        assert (told["trained_on"], told["of_source"]) == (0, 3)
        assert "holds the value 7" in told["left_out"][0]
        assert "preset 'xray' is for 2-D images" in told["left_out"][1]
        told = task(SHORT, studies(tmp_path / "some", 2, 2, 2))["labels"]
        assert (told["trained_on"], told["of_source"]) == (2, 3)
    assert [len(data.labelled) for data in seen] == [0, 2]
    assert [len(data.source_labelled) for data in seen] == [3, 3]
    assert [*seen[0].unlabelled] == ["target a"]  # a labelled image is not an unlabelled one, too
    assert task._published.exists()
    assert "training on 2 labels and 3 of the source; 2 left out" in caplog.messages
    with pytest.raises(UserError, match="there is no usable label to train on: annotate and submit at least one image"):
        trainer(tmp_path, XRAY, ("a", "b"))(SHORT, none)
    of_another_kind = phantom_pairs(tmp_path / "heads", 2, 3, 2)
    with pytest.raises(
        UserError, match=r"there is no usable label to train on: .*heads.*preset 'xray' is for 2-D images"
    ):
        trainer(tmp_path, XRAY, ("a", "b"), "ust_run", lambda datastore: unlabelled, of_another_kind)(SHORT, none)
