"""Real servers that start in two seconds: forked from a process that has imported the libraries already.

What is MONAI Label's or ours is imported in each server and in each of its background processes anew.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Any, BinaryIO

from tests.support.harness import CHECKOUT, archive_environment, server_command
from tests.support.orthanc import Orthanc
from tests.support.warm_tasks import fork_tasks
from xssr_strategy.demo.server import Launched, Server

_LIBRARIES = (
    "torch torchvision monai monai.engines monai.bundle ignite itk SimpleITK nibabel pydicom sklearn.cluster scipy "
    "fastapi uvicorn watchdog.observers dicomweb_client google.auth.transport.requests requests filelock psutil "
    "setuptools pkg_resources pydantic_settings pydicom_seg dicomweb_client.web girder_client requests_toolbelt "
    "diskcache timeloop passlib.context jwt fastapi.security highdicom jinja2 plotly.graph_objects safetensors "
    "sortedcontainers"
)


class Kiln:
    """The process that servers are forked from; a context manager. Any thread may ask for a server."""

    def __init__(self) -> None:
        self._one_at_a_time = Lock()  # a question and its answer are two steps

    def __enter__(self) -> Kiln:
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def fork(self, command: Sequence[str], environment: dict[str, str], log: str) -> int:
        """Process id, also of the group, of a new server.

        Raises:
            RuntimeError: the process that forks ended, and so did the one that was started in its place.
        """
        question = json.dumps([list(command), environment, log])
        with self._one_at_a_time:
            answer = self._answer(question)
            if not answer:  # it has ended, as by a kill that was meant for others or for want of memory
                self._process.kill()
                self._process.wait()
                self._start()
                answer = self._answer(question)
            if not answer:
                raise RuntimeError(
                    f"the process that forks servers ended twice, with status {self._process.wait()}; what it wrote "
                    f"last is on standard error: see whether memory has run out (dmesg)."
                )
            return int(answer)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _answer(self, question: str) -> str:
        """One line of the process; empty if it has ended."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        try:
            print(question, file=asked, flush=True)
        except BrokenPipeError:
            return ""
        return answers.readline()

    def server(
        self,
        studies: Path | str,
        conf: Mapping[str, object],
        log: Path,
        app: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Server:
        """As ``tests.support.harness.start_server``."""
        command, port, environment = server_command(studies, conf, app)
        return _WarmServer(self, command, port, {**environment, **(more or {})}, log)


def start_server(studies: Path | str, conf: Mapping[str, object], log: Path, **more: Any) -> Server:
    """As :meth:`Kiln.server`, of one kiln for all tests of what a server does once it runs."""
    return _kiln_of_all().server(studies, conf, log, **more)


def start_archive_server(
    archive: Orthanc, folder: Path, conf: Mapping[str, object], app: Path | None = None, **environment: str
) -> Server:
    """As ``tests.support.harness.start_archive_server``, of the same kiln; ``app``: another than ours."""
    more = archive_environment(folder, environment)
    return start_server(archive.url, conf, folder / "server.log", app=app, more=more)


def warm_server(command: Sequence[str], port: int, environment: Mapping[str, str], log: Path) -> Server:
    """In place of ``xssr_strategy.demo.server.Server``, for commands of ``xssr serve``; of the same kiln."""
    command = ["monailabel", *command[command.index("start_server") :]]
    return _WarmServer(_kiln_of_all(), command, port, {**environment, "PYTHONPATH": str(CHECKOUT)}, log)


@cache
def _kiln_of_all() -> Kiln:
    kiln = Kiln().__enter__()
    atexit.register(kiln.__exit__)
    return kiln


class _WarmServer(Server):
    def __init__(self, kiln: Kiln, command: Sequence[str], port: int, environment: dict[str, str], log: Path) -> None:
        super().__init__(command, port, environment, log, wait=600)
        self._kiln = kiln

    def _launch(self, log: BinaryIO) -> Launched:
        return _Forked(self._kiln.fork(self._command, self._environment, str(self.log)))


class _Forked:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, timeout: float | None = None) -> int:
        deadline = time.monotonic() + (timeout or 1e9)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("server", timeout or 0)
            time.sleep(0.02)
        return 0


def _serve(command: list[str], environment: dict[str, str], log: str) -> None:
    """In the forked process: become the server."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in (1, 2):
        os.dup2(output, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    if environment.get("PYTHONPATH") == str(CHECKOUT):  # elsewhere may be a module that Python itself starts with
        fork_tasks()
    from monailabel.main import Main

    Main().run()


def _kiln(requests: IO[str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the servers
    for name in _LIBRARIES.split():
        __import__(name)
    gc.freeze()  # or each process would look through the libraries' million objects, and copy their pages by doing so
    for line in requests:
        pid = os.fork()
        if pid == 0:
            try:
                _serve(*json.loads(line))
            except SystemExit:
                pass
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    _kiln(sys.stdin)
