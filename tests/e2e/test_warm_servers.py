"""The process that servers are forked from, which several threads ask at once and which may end."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import warm
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


def _forked(kiln: Kiln, log: Path) -> int:
    """A process that wants to become a server and ends with its help text."""
    return kiln.fork(["monailabel", "--help"], dict(os.environ), str(log))
