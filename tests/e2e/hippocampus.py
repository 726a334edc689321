"""3-D and two labels: the hippocampus through the real server.

``python -m tests.e2e.hippocampus`` annotates 20 of the 200 volumes (one site, so no source), trains, and
segments the 60 held-out volumes; masks must have the image's shape and affine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.data import HIPPOCAMPUS, held_out
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
    test = held_out(HIPPOCAMPUS)
    files = {path.name.split(".")[0]: path for path in sorted((HIPPOCAMPUS / "images").iterdir())}
    truth = {path.name.split(".")[0]: path for path in sorted((HIPPOCAMPUS / "labels").iterdir())}
    ids = sorted(files.keys() - set(test))[:pool]
    studies = copy_pool(HIPPOCAMPUS / "images", ids, folder / "studies")
    settings = {"labels": "anterior,posterior", **(conf or {})}
    unseen_cases = {files[i]: truth[i] for i in test[:unseen]}
    with start_server(studies, settings, folder / "server.log") as server:
        return annotate_train_segment(server, {i: truth[i] for i in ids}, unseen_cases, rounds, training or {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--at-least", type=float, default=0.80)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), arguments.rounds)
    print(outcome.report("Hippocampus"))
    return int(np.mean(list(outcome.dice.values())) < arguments.at_least)


if __name__ == "__main__":
    sys.exit(main())
