"""Background tasks that cannot start, and what a folder of sessions may hold."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from monailabel.utils.async_tasks import utils
from monailabel.utils.async_tasks.task import AsyncTask

from xssr_strategy.web.background_tasks import check_background_tasks
from xssr_strategy.web.sessions import SafeSessions

KIND = "scoring"


@pytest.fixture(autouse=True)
def tasks_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("run", "status", "stop"):
        monkeypatch.setattr(AsyncTask, name, getattr(AsyncTask, name))
    monkeypatch.setattr(utils, "_task_func", utils._task_func)
    monkeypatch.setattr(utils, "subprocess", utils.subprocess)
    for kept in ("background_tasks", "background_processes", "background_executors"):
        monkeypatch.setattr(utils, kept, {})
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    check_background_tasks()


def ended(task: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while task["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return task


@pytest.mark.parametrize(
    ("request_", "reason"), [({"a": "x" * 200_000}, "Argument list too long"), ({"gpus": 5}, "TypeError")]
)
def test_a_task_whose_process_cannot_be_started_ends(request_: dict[str, Any], reason: str) -> None:
    """Before, it was SUBMITTED for ever, and the app waited for it before it scored again."""
    task = ended(utils.run_background_task(request_, KIND))
    assert task["status"] == "ERROR"
    assert reason in task["details"][0]
    json.dumps(task)  # as it is shown
    assert utils.processes(KIND) == {}


def test_what_is_told_of_a_task_does_not_change_while_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, an answer failed now and then: dictionary changed size during iteration, of a task or of its request."""
    task = {"id": "1", "status": "RUNNING", "request": {"a": 1}, "details": deque(["first"], maxlen=20)}
    monkeypatch.setattr(utils, "background_tasks", {KIND: [task]})
    monkeypatch.setattr(utils, "background_processes", {KIND: {"1": None}})
    told = [
        AsyncTask.status(KIND)[0],
        AsyncTask.status(KIND, check_if_running=True)[0],
        AsyncTask.status(KIND, all=True)[0][0],
    ]
    task["end_ts"] = "now"
    task["request"]["gpus"] = "all"
    task["details"].append("second")
    assert told == [{"id": "1", "status": "RUNNING", "request": {"a": 1}, "details": ["first"]}] * 3
    assert AsyncTask.status("train")[0] is None


@pytest.mark.parametrize("code", [0, 3])
def test_what_a_task_printed_before_its_end_is_kept(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, lines were lost whose process had ended when MONAI Label came to read them."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nseq 3000\necho Too dark.\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(utils, "sys", SimpleNamespace(executable=str(program)))
    task = ended(utils.run_background_task({}, KIND))
    assert task["status"] == ("ERROR" if code else "DONE")
    assert list(task["details"])[-2:] == ["3000", "Too dark."]
    assert utils.processes(KIND) == {}


def test_the_tasks_of_months_are_not_all_kept() -> None:
    tasks = [ended(utils.run_background_task({"gpus": 5}, KIND)) for _ in range(130)]
    assert utils.tasks(KIND) == tasks[-100:]


def test_a_folder_of_sessions_with_others_things_in_it(tmp_path: Path) -> None:
    """The stock class fails at the first folder without a description, at every start."""
    sessions = SafeSessions(str(tmp_path), 3600)
    (tmp_path / "somebody's").mkdir()
    fresh, old = (tmp_path / str(uuid.uuid1()) for _ in range(2))
    fresh.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"x")
    kept, _ = sessions.add_session(str(image))
    assert sessions.remove_expired() == 1
    assert {path.name for path in tmp_path.iterdir()} == {"somebody's", fresh.name, kept}
    assert sessions.get_session(kept) is not None
    for strange in ("..", f"{kept}/..", f"../{tmp_path.name}/{kept}", kept.upper(), ""):
        assert sessions.get_session(strange) is None


def test_sessions_are_there_after_a_restart_and_half_a_description_stops_nothing(tmp_path: Path) -> None:
    images = [tmp_path / "one.nii.gz", tmp_path / "two.nii.gz"]
    for image in images:
        image.write_bytes(b"x")
    (kept, _), (broken, _) = [SafeSessions(str(tmp_path), 3600).add_session(str(image)) for image in images]
    (tmp_path / broken / "meta.info").write_text('{"name": ')
    restarted = SafeSessions(str(tmp_path), 3600)
    assert restarted  # as MONAI Label asks before it looks for those that have ended
    assert restarted.remove_expired() == 0
    assert restarted.get_session(kept) is not None
    assert restarted.get_session(broken) is None
    os.utime(tmp_path / broken, (0, 0))
    assert restarted.remove_expired() == 1
