"""Bad labels and the real server: one of each kind submitted, and one of each kind lying in the folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests

from tests.support.bad_labels import AFFINE, BAD_LABELS, LABEL, SHAPE, good
from tests.support.phantoms import ellipsoids, write_nifti
from tests.support.warm import start_server
from xssr_strategy.demo.server import Server

pytestmark = pytest.mark.e2e

CONF = {"labels": LABEL, "preset": "mri", "encoder_steps": 4, "budget": 4}
_TIMEOUT = 300  # seconds


@dataclass(frozen=True)
class Room:
    server: Server
    studies: Path

    def submit(self, image: str, file: Path) -> requests.Response:
        with file.open("rb") as label:
            return requests.put(
                f"{self.server.url}/datastore/label",
                params={"image": image},
                files={"label": (file.name, label)},
                timeout=_TIMEOUT,
            )

    def log(self) -> str:
        return self.server.log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("bad_labels")
    for index in range(len(BAD_LABELS) + 1):
        image, _ = ellipsoids(SHAPE, 1, np.random.default_rng(index))
        write_nifti(folder / "studies" / f"i{index:02d}.nii.gz", image.astype(np.float32), AFFINE)
    with start_server(folder / "studies", CONF, folder / "server.log") as server:
        yield Room(server, folder / "studies")


def test_each_kind_is_refused_or_kept_with_a_warning(room: Room, tmp_path: Path) -> None:
    for kind in BAD_LABELS:
        file = tmp_path / f"label{kind.suffix}"
        kind.write(file)
        answer = room.submit("i00", file)
        if kind.kept:
            assert answer.status_code == 200, answer.text
            assert kind.submitted in answer.json()["warning"]
        else:
            assert answer.status_code == 422, answer.text
            assert kind.submitted in answer.json()["detail"]
            assert requests.get(f"{room.server.url}/info/", timeout=_TIMEOUT).json()["datastore"]["completed"] == 0
    answer = room.submit("i00", good(tmp_path / "good.nii.gz"))
    assert answer.json() == {"image": "i00", "label": "i00"}


def test_a_label_of_an_image_that_is_gone_is_refused(room: Room, tmp_path: Path) -> None:
    answer = room.submit("deleted", good(tmp_path / "good.nii.gz"))
    assert answer.status_code == 404
    assert "image 'deleted' does not exist" in answer.json()["detail"]


def test_files_copied_into_the_folder_are_trained_on_or_named(room: Room) -> None:
    final = room.studies / "labels" / "final"
    for index, kind in enumerate(BAD_LABELS, start=1):
        kind.write(final / f"i{index:02d}{kind.suffix}")
    good(final / "deleted.nii.gz")
    train = f"{room.server.url}/train/segmentation"
    requests.post(train, json={"max_epochs": 1, "steps_per_epoch": 2}, timeout=_TIMEOUT).raise_for_status()
    deadline = time.monotonic() + _TIMEOUT
    while requests.get(f"{room.server.url}/train/", timeout=_TIMEOUT).json()["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    labels = requests.get(f"{room.server.url}/info/", timeout=_TIMEOUT).json()["train_stats"]["segmentation"]["labels"]
    kept = [kind for kind in BAD_LABELS if kind.kept]
    assert labels["trained_on"] == 1 + len(kept)
    assert len(labels["left_out"]) == len(BAD_LABELS) - len(kept) + 1
    for index, kind in enumerate(BAD_LABELS, start=1):
        (said,) = [line for line in labels["remarks" if kind.kept else "left_out"] if f"/i{index:02d}." in line]
        assert kind.found in said
        assert said in room.log()
    assert any("deleted.nii.gz: there is no image 'deleted'" in line for line in labels["left_out"])
    assert "Traceback" not in room.log()
