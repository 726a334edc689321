"""Two small hospitals with labelled phantoms, and a simulation over them that takes seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.phantoms import ellipsoids, write_png
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.selection.budget import parse_budget
from xssr_strategy.simulation.domains import read_domain
from xssr_strategy.simulation.engines import Finished, attempt
from xssr_strategy.simulation.experiment import Experiment, Protocol, workspace_of
from xssr_strategy.simulation.results import JobResult, read_results
from xssr_strategy.simulation.simulate import Plan, plan, run
from xssr_strategy.simulation.work import Training

POOL, TEST = 16, 3
PRESET = replace(PRESETS["xray"], encoder_size=32, encoder_patch=8, encoder_channels=(8, 16, 16), segmentation_size=32)


def hospital(folder: Path, seed: int, test: int = 0, count: int = POOL) -> Path:
    """``images`` and ``labels`` of ``count`` phantoms and ``test`` more, named in ``test.txt``."""
    rng = np.random.default_rng(seed)
    for number in range(count + test):
        image, mask = ellipsoids((40, 36), 1, rng)
        write_png(folder / "images" / f"scan{number:02}.png", np.clip(60 + 120 * image, 0, 255))
        write_png(folder / "labels" / f"scan{number:02}.png", mask)
    if test:
        (folder / "test.txt").write_text("\n".join(f"scan{number:02}" for number in range(count, count + test)))
    return folder


def experiment(target: Path, source: Path | None = None, **changes: Any) -> Experiment:
    """A short simulation; ``changes`` are of the experiment or of its protocol."""
    protocol = Protocol(
        preset=PRESET,
        labels=("blob",),
        steps=3,
        full_steps=4,
        encoder="conv_mae",
        encoder_steps=3,
        encoders=1,
        share=1.0,
        threads=1,
    )
    own = {name: changes.pop(name) for name in list(changes) if name in Protocol.__dataclass_fields__}
    domain = read_domain(target, "--target")
    values: dict[str, Any] = {
        "target": domain,
        "source": None if source is None else read_domain(source, "--source", labelled=False),
        "test": domain,
        "protocol": replace(protocol, **own),
        "strategies": ("xssr", "kmeans", "random"),
        "budgets": (parse_budget("3"),),
        "seeds": 2,
        "draws": 2,
    }
    return Experiment(**{**values, **changes})


class Inline:
    """Runs trainings one after the other in this process, and remembers them."""

    def __init__(self) -> None:
        self.ran: list[Training] = []

    def __call__(self, trainings: Sequence[Training]) -> Iterator[Finished]:
        for training in trainings:
            self.ran.append(training)
            yield training, attempt(training)


def planned(what: Experiment, out: Path) -> Plan:
    """Every job with its picks, nothing trained."""
    out.mkdir(exist_ok=True)
    return plan(what, out, workspace_of(out), "xssr simulate", _silent)


def simulate(what: Experiment, out: Path, engine: Inline | None = None) -> dict[str, str]:
    """Plan and run; the jobs that could not be run, with the reason."""
    return run(planned(what, out), out, engine or Inline(), _silent)


def _silent(stage: str, done: int, total: int) -> None:
    """No progress is shown."""


def rows(out: Path) -> list[JobResult]:
    """The results, but for what differs between two runs: the time taken."""
    return [replace(result, seconds=0.0) for result in read_results(out)]


def comparable(out: Path) -> str:
    """The results as text, in which NaN equals NaN."""
    return repr(rows(out))
