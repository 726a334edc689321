"""Labels for the small pools of :mod:`tests.support.pools`, and waiting for what another thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def mask(path: Path, value: int) -> Path:
    Image.fromarray(np.full((40, 40), value, np.uint8)).save(path)
    return path


def becomes_true(condition: Callable[[], bool], seconds: float = 300.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
