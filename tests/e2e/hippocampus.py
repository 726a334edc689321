"""3-D and two labels: the hippocampus through the real server.

``python -m tests.e2e.hippocampus`` annotates 20 of the 200 volumes (one site, so no source), trains, and
segments the 60 held-out volumes; masks must have the image's shape and affine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.data import HIPPOCAMPUS, held_out
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
    test = held_out(HIPPOCAMPUS)
    files = {path.name.split(".")[0]: path for path in sorted((HIPPOCAMPUS / "images").iterdir())}
    truth = {path.name.split(".")[0]: path for path in sorted((HIPPOCAMPUS / "labels").iterdir())}
    ids = sorted(files.keys() - set(test))[:pool]
    studies = copy_pool(HIPPOCAMPUS / "images", ids, folder / "studies")
    settings = {"labels": "anterior,posterior", **(conf or {})}
    unseen_cases = {files[i]: truth[i] for i in test[:unseen]}
    with start(studies, settings, folder / "server.log") as server:
        return annotate_train_segment(server, {i: truth[i] for i in ids}, unseen_cases, rounds, training or {})


if __name__ == "__main__":
    sys.exit(command_line("Hippocampus", run, rounds=20, at_least=0.80))
