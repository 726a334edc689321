"""The folder of studies under kills, other servers and other threads."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from tests.support.pools import write
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.storage import change_log

INDEX = "datastore_v2.json"
CHANGES = f"{INDEX}.changes"


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write(tmp_path / "studies", 6, 1)


def mask(path: Path, value: int) -> Path:
    Image.fromarray(np.full((40, 40), value, np.uint8)).save(path)
    return path


def becomes_true(condition: Callable[[], bool], seconds: float = 300.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("damage", [b"", b'{"name": "new-da', b"[]", b"\xff\xfe"])
def test_half_an_index_is_kept_aside_and_made_anew(studies: Path, tmp_path: Path, damage: bytes, caplog) -> None:
    StudiesDatastore(str(studies), watch=False).save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {})
    (studies / INDEX).write_bytes(damage)
    again = StudiesDatastore(str(studies), watch=False)
    assert len(again.list_images()) == 6
    assert again.get_labeled_images() == ["i00"]
    assert json.loads((studies / INDEX).read_text())["objects"].keys() == set(again.list_images())
    (kept,) = studies.glob("datastore_v2.damaged-*.json")
    assert kept.read_bytes() == damage
    assert f"{INDEX} was damaged: it is kept as {kept.name} and made anew from the files." in caplog.text


def test_two_servers_keep_what_the_other_has_noted(studies: Path, tmp_path: Path) -> None:
    first, second = (StudiesDatastore(str(studies), watch=False) for _ in range(2))
    first.save_label("i00", str(mask(tmp_path / "a.png", 1)), "final", {"user": "ann"})
    second.save_label("i01", str(mask(tmp_path / "b.png", 1)), "final", {"user": "bob"})
    first.save_label("i02", str(mask(tmp_path / "c.png", 1)), "final", {"user": "ann"})
    second.update_image_info("i03", {"asked": "bob"})
    first.update_label_info("i01", "final", {"approved": "ann"})
    objects = StudiesDatastore(str(studies), watch=False).json()["objects"]
    users = {image: one["labels"]["final"]["info"]["user"] for image, one in objects.items() if one["labels"]}
    assert users == {"i00": "ann", "i01": "bob", "i02": "ann"}
    assert objects["i01"]["labels"]["final"]["info"]["approved"] == "ann"
    assert objects["i03"]["image"]["info"]["asked"] == "bob"
    assert Path(first.get_label_uri("i01", "final")).is_file()  # below the folder, not below where the server runs


def test_a_label_is_a_line_beside_the_index_which_the_next_server_writes_whole(studies: Path, tmp_path: Path) -> None:
    first, second = (StudiesDatastore(str(studies), watch=False) for _ in range(2))
    before = (studies / INDEX).read_bytes()
    first.save_label("i00", str(mask(tmp_path / "a.png", 1)), "final", {"user": "ann"})
    second.update_label_info("i00", "final", {"approved": "bob"})
    assert (studies / INDEX).read_bytes() == before
    assert len((studies / CHANGES).read_bytes().splitlines()) == 3
    StudiesDatastore(str(studies))
    label = json.loads((studies / INDEX).read_text())["objects"]["i00"]["labels"]["final"]["info"]
    assert (label["user"], label["approved"]) == ("ann", "bob")
    assert not (studies / CHANGES).exists()
    assert first.get_label_info("i00", "final")["user"] == "ann"


def test_a_quiet_server_writes_the_index_whole(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xssr_strategy.datastores.crash_safe._QUIET", 0.2)
    StudiesDatastore(str(studies)).update_image_info("i00", {"asked": "ann"})
    assert becomes_true(lambda: not (studies / CHANGES).exists())
    assert json.loads((studies / INDEX).read_text())["objects"]["i00"]["image"]["info"]["asked"] == "ann"


def test_after_a_thousand_lines_the_index_is_written_whole(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xssr_strategy.datastores.index._LINES", 3)
    datastore = StudiesDatastore(str(studies), watch=False)
    for step in range(5):
        datastore.update_image_info("i00", {"step": step})
    assert json.loads((studies / INDEX).read_text())["objects"]["i00"]["image"]["info"]["step"] == 3
    assert StudiesDatastore(str(studies), watch=False).get_image_info("i00")["step"] == 4


def test_what_a_full_disk_keeps_out_of_the_index_is_written_with_the_next_change(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    datastore, other = (StudiesDatastore(str(studies), watch=False) for _ in range(2))
    datastore.update_image_info("i00", {"asked": "ann"})
    with monkeypatch.context() as full:
        full.setattr(change_log.os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        full.setattr("xssr_strategy.datastores.crash_safe.copy_atomic", shutil.copyfile)
        datastore.save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {"user": "ann"})
    assert f"{INDEX} cannot be written (No space left on device): make room" in caplog.text
    other.update_image_info("i00", {"seen": "bob"})  # with room again, and without having heard of the label
    datastore.update_image_info("i01", {"asked": "cid"})
    for one in (datastore, StudiesDatastore(str(studies), watch=False)):
        assert one.labelled == {"i00"}
        assert one.get_label_info("i00", "final")["user"] == "ann"
        assert one.get_image_info("i01")["asked"] == "cid"


@pytest.mark.parametrize("change", ["deleted", "damaged", "written by another program"])
def test_an_index_that_goes_while_servers_run_is_made_anew(studies: Path, tmp_path: Path, change: str) -> None:
    datastore, index = StudiesDatastore(str(studies), watch=False), studies / INDEX
    datastore.save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {"user": "ann"})
    if change == "deleted":
        index.unlink()
    elif change == "damaged":
        index.write_bytes(index.read_bytes()[:-20])
    else:
        index.write_text(StudiesDatastore(str(studies), watch=False)._datastore.model_dump_json(exclude={"base_path"}))
    datastore.save_label("i01", str(mask(tmp_path / "m.png", 1)), "final", {"user": "bob"})
    again = StudiesDatastore(str(studies), watch=False)
    assert {image: again.get_label_info(image, "final")["user"] for image in again.labelled} == {
        "i00": "ann",
        "i01": "bob",
    }


def test_a_deleted_index_is_made_anew_at_once(studies: Path) -> None:
    datastore = StudiesDatastore(str(studies))
    (studies / INDEX).unlink()
    assert becomes_true(lambda: (studies / INDEX).exists())
    assert len(datastore.images) == 6


@pytest.mark.parametrize("line", [b"\0\0\0", b"{}", b'{"image": "i01", "entry": 7}'])
def test_a_damaged_line_costs_itself_and_what_follows(studies: Path, tmp_path: Path, line: bytes, caplog) -> None:
    datastore = StudiesDatastore(str(studies), watch=False)
    datastore.save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {"user": "ann"})
    with (studies / CHANGES).open("ab") as file:
        file.write(line + b"\n")
    again = StudiesDatastore(str(studies), watch=False)
    assert again.get_label_info("i00", "final")["user"] == "ann"
    (kept,) = studies.glob("datastore_v2.damaged-*.json.changes")
    assert f"{CHANGES} was damaged: it is kept as {kept.name}." in caplog.text
    again.update_image_info("i01", {"asked": "bob"})
    last = StudiesDatastore(str(studies), watch=False)
    assert (last.get_label_info("i00", "final")["user"], last.get_image_info("i01")["asked"]) == ("ann", "bob")


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
