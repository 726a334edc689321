"""What a simulation leaves on disk: one file per job, whole or not there, and the facts that all jobs share.

OUT/experiment.json        what was asked, the pool, the test cases, the sites
OUT/jobs/JOB.json          one per finished job
OUT/overlays/TRAINING/CASE.png   worst segmented cases of a training
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.methods.catalogue import SUPERVISED
from xssr_strategy.storage.atomic_files import write_atomic


@dataclass(frozen=True)
class Job:
    """One row of the table: a strategy at a budget, trained with a seed.

    Attributes:
        strategy: its name; ``full`` and ``source-only`` too.
        budget: number of labels; for ``full`` the whole pool, for ``source-only`` 0.
        seed: of the training, the same for every strategy; of a selector that draws, unless it has draws.
        draw: which draw of ``random``; 0 for all others.
        method: name of the training method, with ``REFINED`` behind it where refined masks are judged.

    >>> Job("xssr", budget=22, seed=0).name
    'xssr-22-d0-s0'
    >>> Job("random", budget=22, seed=0, draw=3).name
    'random-22-d3-s0'
    """

    strategy: str
    budget: int
    seed: int
    draw: int = 0
    method: str = SUPERVISED

    @property
    def training_method(self) -> str:
        """The name of the method alone."""
        return self.method.removesuffix(REFINED)

    @property
    def refined(self) -> bool:
        """Whether refined masks are judged."""
        return self.method.endswith(REFINED)

    @property
    def name(self) -> str:
        """Also the name of its file."""
        method = "" if self.method == SUPERVISED else f"-{self.method}"  # left out as before there were others
        return f"{self.strategy}-{self.budget}-d{self.draw}-s{self.seed}{method}".replace(":", "_")


REFINED = "+sam2"
"""What the method of a job ends with whose masks SAM 2 has refined; its training is that of the method before."""


@dataclass(frozen=True)
class JobResult:
    """What a job found.

    Attributes:
        job: which one.
        picks: images of the pool that were annotated, in pick order; of ``full`` the pool, of ``source-only`` none.
        alpha, calibration, mean_coverage, max_coverage: as in ``Selection``; None or empty where no vectors are used.
        training: digest of all that decides the trained network; jobs with the same picks and seed share it.
        steps: optimisation steps.
        seconds: of training and evaluation; 0 where another job's training served.
        trained_with: version of this software and kind of device, on both of which the rounding depends.
        cases: test cases.
        dice: (cases, labels) Dice in [0, 1]; NaN where the case does not hold the label.
        hd95: (cases, labels) 95th percentile of the Hausdorff distance, in mm (3-D) or pixels (2-D); NaN as above.
        overlays: worst cases, by name, with a picture each.
        asd: (cases, labels) average surface distance, in the unit of ``hd95``; empty in results of earlier versions.
        entropies: image -> mean predictive entropy (nats) of what was left of the pool, if the next round asked for it:
            its parts of the background and each label, or, in results of earlier versions, their sum alone.
        features: image -> mean of the network's deepest features, of all that the seed sees of the pool, if the
            next round asked for it.
        remarks: what the training warned of, such as unlabelled images that it could not read.
    """

    job: Job
    picks: tuple[str, ...]
    alpha: float | None
    calibration: tuple[tuple[float, float, float], ...]
    mean_coverage: float | None
    max_coverage: float | None
    training: str
    steps: int
    seconds: float
    trained_with: str
    cases: tuple[str, ...]
    dice: tuple[tuple[float, ...], ...]
    hd95: tuple[tuple[float, ...], ...]
    overlays: tuple[str, ...]
    entropies: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    features: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    asd: tuple[tuple[float, ...], ...] = field(default_factory=tuple)
    remarks: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Site:
    """One site of the pool or of the test set.

    Attributes:
        name: of the site.
        pool: its images in the pool.
        test: its test cases.
        distance: mean over its images (of the pool, else of the test set) of the distance to the nearest source image
            in the standardised embedding; None without a source.
    """

    name: str
    pool: tuple[str, ...]
    test: tuple[str, ...]
    distance: float | None


@dataclass(frozen=True)
class ExperimentInfo:
    """What all jobs share and the report tells.

    Attributes:
        command: as it was typed.
        source, target, test: names of the domains; None where there is none.
        labels: names of the labels.
        unit: of HD95, ``mm`` or ``pixels``.
        images: id -> path of every image of the pool.
        sites: at least one.
        default: the strategy that the report is about.
        settings: what else decides a result (name -> value), for the report's small print.
        methods: training methods that are compared; the report is about the first.
        patients: test case -> patient, of the test cases whose domain names patients; empty in earlier versions.
        kinds: image of the pool or test case -> kind, of those whose domain names kinds; empty in earlier versions.
    """

    command: str
    source: str | None
    target: str
    test: str | None
    labels: tuple[str, ...]
    unit: str
    images: Mapping[str, str]
    sites: tuple[Site, ...]
    default: str
    settings: Mapping[str, Any]
    methods: tuple[str, ...] = field(default_factory=lambda: (SUPERVISED,))
    patients: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)


def write_result(out: Path, result: JobResult) -> None:
    """Keep a result; a kill leaves the whole file or none."""
    _write(out / "jobs" / f"{result.job.name}.json", asdict(result))


def read_results(out: Path) -> list[JobResult]:
    """Every result that is there, in the order of method, strategy, budget, draw and seed.

    Raises:
        UserError: a file is damaged.
    """
    results = [_result(path) for path in sorted((out / "jobs").glob("*.json"))]
    return sorted(results, key=lambda one: _order(one.job))


def _order(job: Job) -> tuple[str, str, int, int, int]:
    return job.method, job.strategy, job.budget, job.draw, job.seed


def write_experiment_info(out: Path, facts: ExperimentInfo) -> None:
    """Keep the facts in place of those before."""
    _write(out / "experiment.json", asdict(facts))


def read_experiment_info(out: Path) -> ExperimentInfo:
    """The facts of a simulation.

    Raises:
        UserError: missing or damaged.
    """
    path = out / "experiment.json"
    values = _read(path, ExperimentInfo)
    sites = [Site(**{**site, "pool": tuple(site["pool"]), "test": tuple(site["test"])}) for site in values["sites"]]
    methods = tuple(values.get("methods", (SUPERVISED,)))  # there was one, and no choice, in earlier versions
    return ExperimentInfo(**{**values, "labels": tuple(values["labels"]), "sites": tuple(sites), "methods": methods})


def _result(path: Path) -> JobResult:
    values = _read(path, JobResult)
    tables = {
        name: tuple(tuple(math.nan if value is None else value for value in row) for row in values.get(name, ()))
        for name in ("dice", "hd95", "asd", "calibration")
    }
    lists = {name: tuple(values.get(name, ())) for name in ("picks", "cases", "overlays", "remarks")}
    told = values.get("entropies", {}).items()
    entropies = {image: tuple(value) if isinstance(value, list) else (value,) for image, value in told}
    features = {image: tuple(value) for image, value in values.get("features", {}).items()}
    maps = {"entropies": entropies, "features": features}
    return JobResult(**{**values, **tables, **lists, **maps, "job": Job(**values["job"])})


def _read(path: Path, kind: type) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name: one.default_factory is not MISSING for one in fields(kind)}
        if not {name for name, optional in known.items() if not optional} <= values.keys() <= known.keys():
            raise ValueError("other fields")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: missing, damaged or of another version ({type(error).__name__}); delete it and run again."
        ) from error
    return values


def _write(path: Path, values: Mapping[str, Any]) -> None:
    write_atomic(path, json.dumps(plain(values), allow_nan=False).encode())


def plain(value: Any) -> Any:
    """Without NaN, for which JSON has no word."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
