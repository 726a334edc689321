"""SIGKILL in the middle of encoder training and of scoring: after a restart the work goes on where it was."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.support.data import MONTGOMERY, SHENZHEN, need
from tests.support.harness import copy_pool
from tests.support.warm import start_server
from xssr_strategy.demo.annotator import RestAnnotator

pytestmark = pytest.mark.e2e

POOL, SOURCE = 128, 138  # images
STEPS = 110  # twice as many as before the first saved state, on a processor
PROCESSOR = {"CUDA_VISIBLE_DEVICES": ""}
CONF = {"source": MONTGOMERY / "images", "encoder_steps": STEPS}


def written(studies: Path) -> dict[tuple[str, str], float]:
    """(domain, image) -> time at which its vector was written, read from beside the server."""
    file = studies / ".xssr" / "embeddings.sqlite"
    if not file.exists():
        return {}
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30) as db:
        return {
            (domain, image): when for domain, image, when in db.execute("SELECT domain, image, written FROM vectors")
        }


def wait_for(condition, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def training_state(studies: Path) -> list[Path]:
    return list((studies / ".xssr" / "model").glob("*.training"))


def test_killed_twice_and_ready_in_the_end(tmp_path) -> None:
    need(SHENZHEN)
    images = sorted(p.stem for p in (SHENZHEN / "images").iterdir())[:POOL]
    studies = copy_pool(SHENZHEN / "images", images, tmp_path / "studies")
    log = tmp_path / "server.log"

    with start_server(studies, CONF, log, more=PROCESSOR) as server:
        wait_for(lambda: training_state(studies))
        os.killpg(server.pid, signal.SIGKILL)
    assert not list((studies / ".xssr" / "model").glob("*.safetensors"))

    with start_server(studies, CONF, log, more=PROCESSOR) as server:
        wait_for(lambda: sum(domain == "target" for domain, _ in written(studies)) >= 64)
        os.kill(server.pid, signal.SIGKILL)
        first = written(studies)
        assert len(first) < POOL + SOURCE
        told = log.read_text(encoding="utf-8", errors="replace")
        (step,) = re.findall(r"Encoder training goes on at step (\d+)", told)
        assert 0 < int(step) < STEPS
        # The scoring process of the one before lives on.
        with start_server(studies, CONF, log, more=PROCESSOR) as again:
            annotator = RestAnnotator(again.url)
            annotator.wait_until_ready(600)
            state, last = annotator.state(), written(studies)
    assert (state["embedded"], state["pool"]) == (POOL, POOL)
    assert len(last) == POOL + SOURCE
    assert all(last[key] == when for key, when in first.items()), "a finished vector was computed again"
    assert not training_state(studies)
