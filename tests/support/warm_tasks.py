"""Background tasks of a warm server: forked from a process that has imported the libraries, rather than started anew.

MONAI Label starts a process for each scoring and each training, and ten seconds go by while it imports. Here a helper
of the server, forked before the server has threads, forks them. They run what MONAI Label would have started, in an
environment of their own, and are children of the server, as they would have been.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import TextIO

HELPER = "fork-tasks"  # name of the helper process, at most 15 letters
_SET_NAME, _SET_CHILD_SUBREAPER = 15, 36  # of prctl (Linux)
_libc = ctypes.CDLL(None)


def fork_tasks() -> None:
    """In a new server without threads: from here on MONAI Label's background tasks are forked."""
    from monailabel.utils.async_tasks import utils

    _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # so that the tasks become children of this process
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _libc.prctl(_SET_NAME, HELPER.encode(), 0, 0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _end_with(lambda: _fork_as_asked(theirs))
    theirs.close()
    one_at_a_time = threading.Lock()

    def start(command: Sequence[str], env: Mapping[str, str], **_: object) -> ForkedTask:
        with one_at_a_time:
            return ForkedTask(ours, command, env)

    utils.subprocess = SimpleNamespace(Popen=start, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)


class ForkedTask:
    """What MONAI Label uses of ``subprocess.Popen``."""

    def __init__(self, helper: socket.socket, command: Sequence[str], environment: Mapping[str, str]) -> None:
        reading, writing = os.pipe()
        question = json.dumps([list(command), dict(environment)]).encode()
        socket.send_fds(helper, [len(question).to_bytes(4, "big")], [writing])
        os.close(writing)
        for begin in range(0, len(question), 2**15):
            helper.send(question[begin : begin + 2**15])
        self.pid = int(helper.recv(32))
        self.stdout: TextIO = os.fdopen(reading, encoding="utf-8", errors="replace")
        self.returncode: int | None = None
        self._reaping = threading.Lock()

    def poll(self) -> int | None:
        with self._reaping:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
            return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _fork_as_asked(server: socket.socket) -> None:
    """In the helper: a task for each question, until the server has ended."""
    while True:
        head, descriptors, _, _ = socket.recv_fds(server, 4, 1)
        if not head:
            return
        (output,) = descriptors
        size, question = int.from_bytes(head, "big"), b""
        while len(question) < size:
            question += server.recv(2**15)
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            task = os.fork()
            if task == 0:
                server.close()
                os.close(writing)
                _libc.prctl(_SET_NAME, b"python", 0, 0, 0)
                command, environment = json.loads(question)
                _end_with(lambda: _become(command, environment, output))  # noqa: B023
            os.write(writing, str(task).encode())
            os._exit(0)
        os.waitpid(between, 0)  # with it gone, the task is a child of the server
        server.send(os.read(reading, 32))
        for descriptor in (output, reading, writing):
            os.close(descriptor)


def _become(command: Sequence[str], environment: Mapping[str, str], output: int) -> None:
    """``python -m MODULE ARGUMENTS``."""
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    _, option, module, *arguments = command
    assert option == "-m"
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with(work: Callable[[], None]) -> None:
    """Do it, then end this process as the interpreter would: with a status, threads joined, output written."""
    status = 1
    try:
        try:
            work()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # the app has one of its own
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
