"""The process that servers are forked from, which several threads ask at once and which may end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import warm
from tests.support.harness import CHECKOUT
from tests.support.warm import Kiln

pytestmark = pytest.mark.e2e


def test_threads_that_ask_at_once_get_a_process_each(tmp_path: Path) -> None:
    with Kiln() as kiln, ThreadPoolExecutor(8) as threads:
        forked = [threads.submit(_forked, kiln, tmp_path / f"{number}.log") for number in range(24)]
        assert len({one.result() for one in forked}) == 24


def test_a_process_that_was_killed_is_started_again(tmp_path: Path) -> None:
    with Kiln() as kiln:
        first = _forked(kiln, tmp_path / "log")
        os.kill(kiln._process.pid, signal.SIGKILL)
        assert _forked(kiln, tmp_path / "log") != first


def test_one_that_ends_at_once_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm.sys, "executable", "/bin/false")
    with Kiln() as kiln, pytest.raises(RuntimeError, match=r"ended twice, with status 1; .* see whether memory"):
        _forked(kiln, tmp_path / "log")


def test_background_tasks_end_as_processes_do() -> None:
    """A status of its own, what it printed, and death by a signal; each a child of the process that asked for it."""
    told = subprocess.run([sys.executable, "-c", _TASKS], cwd=CHECKOUT, capture_output=True, text=True, timeout=300)
    assert told.stderr == ""
    ended, refused, killed = (json.loads(line) for line in told.stdout.splitlines())
    assert (ended["status"], ended["child"]) == (0, True)
    assert ended["printed"].startswith(f"{CHECKOUT / 'apps'}\n1 loop")
    assert (refused["status"], refused["child"]) == (2, True)
    assert "unrecognized arguments: --nonsense" in refused["printed"]
    assert killed == {"status": -signal.SIGKILL, "printed": "", "child": True}


_TASKS = """
import json, os, sys, time
import psutil
from tests.support.warm_tasks import fork_tasks
fork_tasks()
from monailabel.utils.async_tasks import utils

def run(*arguments, kill=False):
    environment = {**os.environ, "XDG_DATA_HOME": os.getcwd() + "/apps"}
    task = utils.subprocess.Popen([sys.executable, "-m", *arguments], env=environment)
    child = psutil.Process(task.pid).ppid() == os.getpid()
    if kill:
        task.kill()
    while task.poll() is None:
        time.sleep(0.01)
    print(json.dumps({"status": task.returncode, "printed": task.stdout.read().strip(), "child": child}))

run("timeit", "-n1", "-r1", "import os; print(os.environ['XDG_DATA_HOME'])")
run("json.tool", "--nonsense")
run("http.server", "0", kill=True)
"""


def _forked(kiln: Kiln, log: Path) -> int:
    """A process that wants to become a server and ends with its help text."""
    return kiln.fork(["monailabel", "--help"], dict(os.environ), str(log))
