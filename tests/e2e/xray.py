"""The paper's main job on real chest X-rays, through the real server.

``python -m tests.e2e.xray`` annotates 22 of the 440 Shenzhen images (source: Montgomery), trains, and
segments the 110 held-out images. Fails below a mean Dice of 0.93.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.data import MONTGOMERY, SHENZHEN, held_out
from tests.e2e.harness import Outcome, annotate_train_segment, copy_pool, start_server


def run(
    folder: Path,
    rounds: int,
    pool: int | None = None,
    unseen: int | None = None,
    conf: dict[str, object] | None = None,
    training: dict[str, object] | None = None,
) -> Outcome:
    """One run in ``folder``; ``pool`` and ``unseen`` limit the images for a short form."""
    test = held_out(SHENZHEN)
    ids = sorted({path.stem for path in (SHENZHEN / "images").iterdir()} - set(test))[:pool]
    studies = copy_pool(SHENZHEN / "images", ids, folder / "studies")
    labels = {image: SHENZHEN / "labels" / f"{image}.png" for image in ids}
    truths = {SHENZHEN / "images" / f"{i}.png": SHENZHEN / "labels" / f"{i}.png" for i in test[:unseen]}
    settings = {"source": MONTGOMERY / "images", "labels": "lung", **(conf or {})}
    with start_server(studies, settings, folder / "server.log") as server:
        return annotate_train_segment(server, labels, truths, rounds, training or {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=22)
    parser.add_argument("--at-least", type=float, default=0.93)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), arguments.rounds)
    print(outcome.report("Montgomery -> Shenzhen"))
    return int(np.mean(list(outcome.dice.values())) < arguments.at_least)


if __name__ == "__main__":
    sys.exit(main())
