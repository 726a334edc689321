"""The command in processes of its own: killed, interrupted, and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.hospitals import comparable, hospital

TARGET, OUT, WORKSPACE = "new hospital", "my results", "kept vectors"  # each with a space
FULL_STEPS = 40  # time enough to be interrupted in
LONG = 1_000_000  # more steps than a test waits for


pytestmark = pytest.mark.slow


def words(out: str, *more: str) -> list[str]:
    """A simulation of three short trainings, one after the other."""
    return [
        *("simulate", "--target", TARGET, "--out", out, "--budget", "3", "--strategies", "xssr,random,full"),
        *("--seeds", "1", "--draws", "1", "--preset", "xray", "--size", "32", "--jobs", "1"),
        *("--encoder-steps", "2", "--steps", "2", "--full-steps", str(FULL_STEPS), *more),
    ]


def _hears_ctrl_c() -> None:
    """What a shell starts in the background is deaf to it, and so would be what these tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Run:
    """``xssr`` in a process group of its own, as a terminal starts it; its output in a file."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.log = folder / "log.txt"
        with self.log.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xssr_strategy.cli", *arguments],
                cwd=folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_hears_ctrl_c,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self.pid = self._process.pid

    def wait(self, seconds: float = 600.0) -> int:
        """The status, when the process has ended."""
        return self._process.wait(seconds)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Until something is true of a run that goes on."""
        while not condition():
            assert self._process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def left(self, seconds: float) -> list[psutil.Process]:
        """The processes of the group that still run so much later; none ends the wait."""
        deadline = time.monotonic() + seconds
        while (running := self.running()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return running

    def running(self) -> list[psutil.Process]:
        """The processes of the group."""
        running = []
        for process in psutil.process_iter(["status"]):
            try:
                if os.getpgid(process.pid) == self.pid and process.info["status"] != psutil.STATUS_ZOMBIE:
                    running.append(process)
            except ProcessLookupError:
                continue
        return running

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed; ``whole`` holds the results of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("typed here")
    hospital(folder / TARGET, seed=2, test=2, count=6)
    undisturbed = Run(folder, words("whole", "--workspace", WORKSPACE))
    assert undisturbed.wait() == 0, undisturbed.log.read_text()
    assert (folder / "whole" / "report.html").exists()
    return folder


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[list[str]], Run]]:
    """Starts runs; what a failed test leaves of them is ended."""
    runs: list[Run] = []

    def begin(arguments: list[str]) -> Run:
        runs.append(Run(folder, arguments))
        return runs[-1]

    yield begin
    for run in runs:
        for process in run.running():
            process.kill()


def finished(out: Path) -> dict[str, int]:
    """Job -> when its file was written."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("jobs/*.json")}


def test_killed_twice_and_interrupted_a_run_goes_on_where_it_was(
    folder: Path, start: Callable[[list[str]], Run]
) -> None:
    out = folder / OUT

    run = start(words(OUT))
    run.wait_for(lambda: "training encoder: 0" in run.log.read_text())
    run.kill()
    assert not list(out.glob("embedding/model/*.safetensors"))

    run = start(words(OUT))
    run.wait_for(lambda: finished(out))
    run.kill()
    first = finished(out)
    assert {"xssr-3-d0-s0.json"} <= first.keys() < {"xssr-3-d0-s0.json", "random-3-d0-s0.json", "full-6-d0-s0.json"}
    (out / "jobs" / "full-6-d0-s0.json.1.partial").write_text('{"job": ')

    run = start(words(OUT))
    # The process that is to train starts now, and takes seconds to load its libraries.
    run.wait_for(lambda: f"training: {len(first)} of 3" in run.log.read_text())
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
    assert run.wait() == 130
    assert run.log.read_text().splitlines()[-1] == "Stopped."
    assert "Traceback" not in run.log.read_text()
    assert run.left(20) == []

    run = start(words(OUT))
    assert run.wait() == 0, run.log.read_text()
    assert f"training: {len(first)} of 3" in run.log.read_text()
    assert finished(out).items() > first.items(), "what was finished is not done again"
    assert comparable(out) == comparable(folder / "whole")


def test_processes_do_not_train_on_when_the_command_is_killed(folder: Path, start: Callable[[list[str]], Run]) -> None:
    arguments = words("orphans", "--workspace", WORKSPACE)
    arguments[arguments.index("--full-steps") + 1] = str(LONG)
    run = start(arguments)
    run.wait_for(lambda: len(finished(folder / "orphans")) == 2)  # what trains now would not end by itself
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert run.left(60) == []
