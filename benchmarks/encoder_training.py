"""Training of the default encoder on the 138 source X-rays."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.bound import Bound
from tests.support.data import MONTGOMERY
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.pool.encoder_training import train
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.settings import Settings


def run() -> list[Bound]:
    images = find_images(MONTGOMERY / "images")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        train(images, Settings(), PRESETS["xray"], Workspace(Path(folder)), lambda *_: None)
        seconds = time.perf_counter() - begin
    return [
        Bound("encoder training, 138 X-rays, defaults", f"{seconds:.0f} s", "under 360 s on two cores", seconds < 360)
    ]
