from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from tests.support.phantoms import write_png
from xssr_strategy.images import trial


def test_an_image_is_read_within_a_limit_and_one_that_cannot_be_read_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms: list[int] = []
    monkeypatch.setattr(signal, "alarm", alarms.append)
    monkeypatch.setattr(trial, "Path", lambda name: tmp_path / "no such system" / str(name).lstrip("/"))
    read: list[Path] = []
    original = trial.read_image
    monkeypatch.setattr(trial, "read_image", lambda path: read.append(path) or original(path))
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no picture")
    for path in (write_png(tmp_path / "whole.png", np.zeros((8, 8))), damaged):
        trial.main(path)
    assert alarms == [trial.LIMIT] * 2
    assert read == [tmp_path / "whole.png", damaged]
