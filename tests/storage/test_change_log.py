"""A JSON file and the lines after it, under kills and other programs."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from xssr_strategy.storage.change_log import ChangeLog


@pytest.fixture
def log(tmp_path: Path) -> ChangeLog:
    log = ChangeLog(tmp_path / "index.json")
    log.write(b'{\n  "objects": {"a": 1}}')
    return log


def test_the_file_itself_stays_as_it_is_while_lines_come(log: ChangeLog) -> None:
    before = log.path.read_bytes()
    assert [log.append({"b": number}) for number in range(3)] == [1, 2, 3]
    assert log.path.read_bytes() == before
    assert json.loads(before)["objects"] == {"a": 1}
    assert list(ChangeLog(log.path).lines()) == [{"b": number} for number in range(3)]


def test_a_file_that_is_written_anew_has_no_lines(log: ChangeLog) -> None:
    log.append({"b": 1})
    assert log.write(b'{"objects": {"b": 1}}') == 0
    assert list(log.lines()) == []
    assert log.append({"c": 1}) == 1


def test_killed_between_the_file_and_its_lines(log: ChangeLog) -> None:
    log.append({"b": 1})
    lines = log.changes.read_bytes()
    log.write(b'{"objects": {"b": 2}}')
    log.changes.write_bytes(lines)  # which a kill left
    assert list(log.lines()) == []
    assert log.append({"c": 1}) == 1
    assert list(log.lines()) == [{"c": 1}]


def test_half_a_line_counts_for_nothing_and_the_next_takes_its_place(log: ChangeLog) -> None:
    log.append({"b": 1})
    with log.changes.open("ab") as file:
        file.write(b'{"c": "a line that is longer than the one aft')
    assert list(log.lines()) == [{"b": 1}]
    assert log.append({"d": 1}) == 2
    assert list(log.lines()) == [{"b": 1}, {"d": 1}]


@pytest.mark.parametrize("content", ['{"objects": {}}', '{"written": "by hand"}', "", "[1]"])
def test_what_another_program_writes_makes_the_lines_void(log: ChangeLog, content: str) -> None:
    log.append({"b": 1})
    log.path.write_text(content)
    assert list(log.lines()) == []
    assert not log.marked
    with pytest.raises(ValueError, match="was not written by this class"):
        log.append({"c": 1})


def test_the_state_tells_whether_the_file_or_its_lines_are_others(log: ChangeLog) -> None:
    first = log.state()
    log.append({"b": 1})
    second = log.state()
    log.append({"b": 1})
    third = log.state()
    assert first[0] == second[0] == third[0]
    assert len({first[1], second[1], third[1]}) == 3
    log.write(b'{"objects": {}}')
    assert log.state()[0] != first[0]
    assert log.state()[1] is None
    log.path.unlink()
    with pytest.raises(FileNotFoundError):
        log.state()
    assert list(log.lines()) == []


def test_a_line_that_fails_halfway_leaves_none_of_it(log: ChangeLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append({"b": 1})
    before = log.changes.read_bytes()
    with monkeypatch.context() as full:
        full.setattr(
            "xssr_strategy.storage.change_log.os.fsync", Mock(side_effect=OSError(28, "No space left on device"))
        )
        with pytest.raises(OSError, match="No space left"):
            log.append({"c": 1})
    assert log.changes.read_bytes() == before
    assert log.append({"d": 1}) == 2
    assert list(log.lines()) == [{"b": 1}, {"d": 1}]


def test_file_and_lines_are_read_together_whoever_writes_meanwhile(
    log: ChangeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append({"b": 1})
    other, original = ChangeLog(log.path), ChangeLog._content

    def content(self: ChangeLog) -> bytes:
        if self is log:
            monkeypatch.undo()
            other.write(b'{"objects": {"b": 1}}')
            other.append({"c": 1})
        return original(self)

    monkeypatch.setattr(ChangeLog, "_content", content)
    whole, lines = log.read()
    assert (json.loads(whole)["objects"], lines) == ({"b": 1}, [{"c": 1}])


def test_damaged_lines_are_empty_objects(log: ChangeLog) -> None:
    log.append({"b": 1})
    with log.changes.open("ab") as file:
        file.write(b"\0\0\n[1]\n")
    log.append({"c": 1})
    assert list(log.lines()) == [{"b": 1}, {}, {}, {"c": 1}]
    assert log.begins_well
    log.changes.write_bytes(b"\0" + log.changes.read_bytes()[1:])
    assert not log.begins_well
    assert list(log.lines()) == []
