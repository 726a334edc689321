"""``make demo`` in small: the first thing that anybody sees."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from tests.support.warm import warm_server
from xssr_strategy.demo import command

pytestmark = pytest.mark.e2e


def test_the_whole_way_to_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "ROUNDS": 2,
        "_SOURCE": 6,
        "_POOL": 14,
        "_UNSEEN": 2,
        "_ENCODER_STEPS": 3,
        "_TRAINING": {"max_epochs": 1, "steps_per_epoch": 2},
    }
    for name, value in small.items():
        monkeypatch.setattr(command, name, value)
    monkeypatch.setattr(command, "Server", warm_server)
    said = io.StringIO()
    told = argparse.Namespace(out=tmp_path / "demo", port=8000, exit=True)
    assert command.run(told, Console(file=said)) == 0
    assert "After 2 annotations: Dice " in said.getvalue()
    assert min(Image.open(tmp_path / "demo" / "demo.png").size) > 400
    for log in (tmp_path / "demo").glob("server-*.log"):
        assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace"), log
