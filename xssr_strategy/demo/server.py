"""A MONAI Label server as a child process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

from xssr_strategy.errors import UserError


def free_port(preferred: int = 0) -> int:
    """The preferred TCP port of this machine if nobody listens on it, or any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Launched(Protocol):
    """A process, as ``subprocess.Popen`` shows it."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Server:
    """Started on entering the context, ended with its background processes on leaving it.

    Args:
        command: what starts it.
        port: on which it will answer.
        environment: of the process.
        log: file for all it prints.
        wait: seconds in which it must answer.
        tick: called while waiting.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        environment: Mapping[str, str],
        log: Path,
        wait: float = 180.0,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._wait = wait
        self._tick = tick
        self._process: Launched | None = None

    def __enter__(self) -> Server:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = self._launch(log)
        try:
            self._wait_for_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id, also of the process group that holds the background processes."""
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Block until the process ends."""
        assert self._process is not None
        self._process.wait()

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End the server and its background processes; kill what has not ended after ten seconds."""
        if self._process is None:
            return
        for number in (signal_number, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(timeout=10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass

    def _launch(self, log: BinaryIO) -> Launched:
        return subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + self._wait
        while time.monotonic() < deadline:
            if not self.running():
                lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise UserError(f"the server did not start ({lines[-1] if lines else 'no output'}); see {self.log}.")
            try:
                with urllib.request.urlopen(f"{self.url}/info/", timeout=10) as answer:  # noqa: S310 - our own http
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as refusal:
                if refusal.code in (401, 403):
                    return  # it answers, but wants a token
                time.sleep(0.5)
            except (urllib.error.URLError, OSError):
                self._tick()
                time.sleep(0.5)
        raise UserError(f"the server did not answer within {self._wait:.0f} s; see {self.log}.")
