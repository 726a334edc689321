"""The index of a folder of studies: nothing that was noted is lost, whoever writes, and whatever goes wrong."""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest
from monailabel.datastore.local import LocalDatastore

from tests.support.masks import becomes_true, mask
from tests.support.pools import write
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.storage import change_log

INDEX = "datastore_v2.json"
CHANGES = f"{INDEX}.changes"


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write(tmp_path / "studies", 6, 1)


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


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, *, also_for_lines: bool = True) -> Iterator[None]:
    """What is written to the index fails; there is room for labels, and perhaps for lines."""
    no_room = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    write = change_log.write_atomic

    def write_small(path: Path, content: bytes) -> None:
        (no_room if also_for_lines or path.name == INDEX else write)(path, content)

    with monkeypatch.context() as full:
        full.setattr(change_log, "write_atomic", write_small)
        if also_for_lines:
            full.setattr(change_log.os, "fsync", no_room)
            full.setattr("xssr_strategy.datastores.crash_safe.copy_atomic", shutil.copyfile)
        yield


def test_what_a_full_disk_keeps_out_of_the_index_is_written_with_the_next_change(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    datastore, other = (StudiesDatastore(str(studies), watch=False) for _ in range(2))
    datastore.update_image_info("i00", {"asked": "ann"})
    with full_disk(monkeypatch):
        datastore.save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {"user": "ann"})
        datastore.update_image_info("i02", {"asked": "ann"})
    assert f"{INDEX} cannot be written (No space left on device): make room" in caplog.text
    other.update_image_info("i00", {"seen": "bob"})  # with room again, and without having heard of the label
    other.save_label("i02", str(mask(tmp_path / "m.png", 1)), "final", {"user": "bob"})
    datastore.update_image_info("i01", {"asked": "cid"})
    for one in (datastore, other, StudiesDatastore(str(studies), watch=False)):
        one.refresh()
        assert one.labelled == {"i00", "i02"}
        assert [one.get_label_info(image, "final")["user"] for image in ("i00", "i02")] == ["ann", "bob"]
        assert [one.get_image_info(image)["asked"] for image in ("i00", "i01", "i02")] == ["ann", "cid", "ann"]
        assert one.get_image_info("i00")["seen"] == "bob"


def test_where_the_whole_index_does_not_fit_its_lines_may(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datastore = StudiesDatastore(str(studies), watch=False)
    with full_disk(monkeypatch, also_for_lines=False):
        monkeypatch.setattr("xssr_strategy.datastores.index._LINES", 1)
        shutil.copyfile(studies / "i00.png", studies / "i70.png")
        datastore.refresh()
        for image in ("i00", "i01", "i70"):
            datastore.save_label(image, str(mask(tmp_path / "m.png", 1)), "final", {"user": image})
        again = StudiesDatastore(str(studies), watch=False)
        assert {image: again.get_label_info(image, "final").get("user") for image in again.labelled} == {
            image: image for image in ("i00", "i01", "i70")
        }


def test_a_server_writes_what_it_could_not_without_being_asked(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xssr_strategy.datastores.crash_safe._QUIET", 0.3)
    datastore = StudiesDatastore(str(studies))
    with full_disk(monkeypatch):
        datastore.update_image_info("i00", {"asked": "ann"})
        time.sleep(1)  # the timer tries in vain
    assert becomes_true(lambda: '"asked": "ann"' in (studies / INDEX).read_text())


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


@pytest.mark.parametrize("line", [b"\0\0\0", b"{}", b'{"image": "i01", "entry": 7}', None])
def test_a_damaged_line_costs_itself(studies: Path, tmp_path: Path, line: bytes | None, caplog) -> None:
    first, second = (StudiesDatastore(str(studies), watch=False) for _ in range(2))
    first.save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {"user": "ann"})
    if line is None:  # the first byte of all
        (studies / CHANGES).write_bytes(b"\0" + (studies / CHANGES).read_bytes()[1:])
    else:
        with (studies / CHANGES).open("ab") as file:
            file.write(line + b"\n")
        second.save_label("i01", str(mask(tmp_path / "m.png", 1)), "final", {"user": "bob"})
    StudiesDatastore(str(studies), watch=False)  # such as a training
    (kept,) = studies.glob("datastore_v2.damaged-*.json.changes")
    assert f"{CHANGES} was damaged: it is kept as {kept.name}." in caplog.text
    first.update_image_info("i02", {"asked": "cid"})
    again = StudiesDatastore(str(studies), watch=False)
    assert again.get_label_info("i00", "final")["user"] == "ann"
    assert again.get_image_info("i02")["asked"] == "cid"
    if line is not None:
        assert again.get_label_info("i01", "final")["user"] == "bob"


def test_lines_that_go_while_a_server_runs_are_written_again(studies: Path, tmp_path: Path) -> None:
    first, second = (StudiesDatastore(str(studies), watch=False) for _ in range(2))
    for image in ("i00", "i01", "i02"):
        first.save_label(image, str(mask(tmp_path / "m.png", 1)), "final", {"user": "ann"})
    (studies / CHANGES).unlink()
    StudiesDatastore(str(studies), watch=False).save_label(
        "i03", str(mask(tmp_path / "m.png", 1)), "final", {"user": "bob"}
    )
    first.update_image_info("i04", {"asked": "cid"})
    for one in (first, second, StudiesDatastore(str(studies), watch=False)):
        one.refresh()
        users = {image: one.get_label_info(image, "final").get("user") for image in one.labelled}
        assert users == {"i00": "ann", "i01": "ann", "i02": "ann", "i03": "bob"}


def test_another_program_that_makes_the_index_anew_keeps_no_names_but_this_one_does(
    studies: Path, tmp_path: Path
) -> None:
    datastore = StudiesDatastore(str(studies), watch=False, labels=("lung",))
    datastore.save_label("i00", str(mask(tmp_path / "m.png", 1)), "final", {})
    numbers = datastore.get_label_info("i00", "final")["numbers"]
    for file in (INDEX, CHANGES):
        (studies / file).unlink()
    LocalDatastore(str(studies), extensions=("*.png",))
    assert "numbers" not in json.loads((studies / INDEX).read_text())["objects"]["i00"]["labels"]["final"]["info"]
    datastore.update_image_info("i01", {"asked": "ann"})
    again = StudiesDatastore(str(studies), watch=False)
    assert again.get_label_info("i00", "final")["numbers"] == numbers
