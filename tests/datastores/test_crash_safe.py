"""The folder of studies under kills, other servers and other threads."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.masks import becomes_true, mask
from tests.support.pools import write
from xssr_strategy.datastores.studies import StudiesDatastore


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write(tmp_path / "studies", 6, 1)


def test_a_label_in_another_format_takes_the_place_of_the_one_before(studies: Path, tmp_path: Path) -> None:
    datastore = StudiesDatastore(str(studies), watch=False)
    datastore.save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {})
    datastore.save_label("i00", str(mask(tmp_path / "m.tif", 1)), "final", {})
    assert [file.name for file in (studies / "labels" / "final").iterdir()] == ["i00.tif"]


def test_what_a_client_notes_never_spoils_the_index(studies: Path) -> None:
    datastore = StudiesDatastore(str(studies), watch=False)
    datastore.update_image_info("i00", {"strategy": {"xssr": {"client_id": "\ud800 half a pair"}}})
    assert len(StudiesDatastore(str(studies), watch=False).list_images()) == 6
    assert not list(studies.glob("*damaged*"))


def test_images_and_labels_that_others_bring_are_noticed(studies: Path, tmp_path: Path) -> None:
    datastore = StudiesDatastore(str(studies))
    written = studies / ".i70.png.hTx2Qk"
    shutil.copyfile(studies / "i00.png", written)
    written.rename(studies / "i70.png")  # as rsync does
    shutil.copyfile(studies / "i00.png", studies / "i71.png")
    mask(studies / "labels" / "final" / "i01.png", 1)
    assert becomes_true(lambda: {"i70", "i71"} <= set(datastore.list_images()))
    assert becomes_true(lambda: datastore.get_labeled_images() == ["i01"])
    other = StudiesDatastore(str(studies), watch=False)
    other.save_label("i02", str(mask(tmp_path / "m.png", 1)), "final", {"user": "bob"})
    assert becomes_true(lambda: set(datastore.get_labeled_images()) == {"i01", "i02"})
    assert datastore.get_label_info("i02", "final")["user"] == "bob"
    (studies / "i71.png").unlink()
    assert becomes_true(lambda: "i71" not in datastore.list_images())


def test_a_label_that_is_saved_here_is_no_reason_to_read_the_folder_again(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datastore = StudiesDatastore(str(studies))
    label, read = str(mask(tmp_path / "m.png", 1)), []
    monkeypatch.setattr(datastore, "_refresh_now", lambda: read.append("again"))
    for image in datastore.list_images():
        datastore.save_label(image, label, "final", {})
    time.sleep(1)
    assert not read


@pytest.mark.slow
def test_while_the_folder_is_read_again_the_pool_is_never_empty(studies: Path) -> None:
    datastore = StudiesDatastore(str(studies), watch=False)
    stop, seen = threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            seen.add(len(datastore.list_images()))
            datastore.get_unlabeled_images()

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(60):
        shutil.copyfile(studies / "i00.png", studies / f"j{number:02}.png")
        datastore.refresh()
    stop.set()
    reader.join()
    assert min(seen) == 6
    assert len(datastore.list_images()) == 66


_SUBMIT = """
import sys
from xssr_strategy.datastores.studies import StudiesDatastore
studies, masks = sys.argv[1:]
datastore = StudiesDatastore(studies, watch=False)
while True:
    for value in (1, 2):
        for image in sorted(datastore.list_images()):
            datastore.save_label(image, f"{masks}/{value}.png", "final", {})
            print(image, value, flush=True)
"""


@pytest.mark.slow
def test_a_kill_while_labels_are_saved_loses_none_that_was_acknowledged(studies: Path, tmp_path: Path) -> None:
    contents = {value: mask(tmp_path / f"{value}.png", value).read_bytes() for value in (1, 2)}
    for acknowledged in (1, 5, 13):
        command = [sys.executable, "-c", _SUBMIT, str(studies), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline() for _ in range(acknowledged)]
            os.kill(writer.pid, signal.SIGKILL)
            told += writer.stdout.readlines()
        images = {line.split()[0] for line in told if line.endswith("\n")}
        final = {file.stem: file.read_bytes() for file in (studies / "labels" / "final").glob("*.png")}
        assert images <= final.keys()
        assert all(content in contents.values() for content in final.values())
        assert len(StudiesDatastore(str(studies), watch=False).list_images()) == 6
    assert not list(studies.glob("*damaged*"))
