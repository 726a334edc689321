"""The paper's main job on real chest X-rays, through the real server.

``python -m tests.e2e.xray`` annotates 22 of the 440 Shenzhen images (source: Montgomery), trains, and
segments the 110 held-out images. Fails below a mean Dice of 0.93.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.data import MONTGOMERY, SHENZHEN, held_out
from tests.support.harness import Outcome, annotate_train_segment, command_line, copy_pool, start_server
from xssr_strategy.demo.server import Server


def run(
    folder: Path,
    rounds: int,
    pool: int | None = None,
    unseen: int | None = None,
    conf: dict[str, object] | None = None,
    training: dict[str, object] | None = None,
    start: Callable[..., Server] = start_server,
) -> Outcome:
    """One run in ``folder``; ``pool`` and ``unseen`` limit the images for a short form."""
    test = held_out(SHENZHEN)
    ids = sorted({path.stem for path in (SHENZHEN / "images").iterdir()} - set(test))[:pool]
    studies = copy_pool(SHENZHEN / "images", ids, folder / "studies")
    labels = {image: SHENZHEN / "labels" / f"{image}.png" for image in ids}
    truths = {SHENZHEN / "images" / f"{i}.png": SHENZHEN / "labels" / f"{i}.png" for i in test[:unseen]}
    settings = {"source": MONTGOMERY / "images", "labels": "lung", **(conf or {})}
    with start(studies, settings, folder / "server.log") as server:
        return annotate_train_segment(server, labels, truths, rounds, training or {})


if __name__ == "__main__":
    sys.exit(command_line("Montgomery -> Shenzhen", run, rounds=22, at_least=0.93))
