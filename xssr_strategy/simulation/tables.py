"""The results of a simulation as CSV files, for whoever wants to count again; an empty cell where there is no value."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from xssr_strategy.simulation.results import ExperimentInfo, Job, JobResult
from xssr_strategy.simulation.scores import METRICS, mean
from xssr_strategy.simulation.statistics import Comparison

Cell = str | int | float | None

_SCORES = (*METRICS, "asd")
_JOB = ("strategy", "method", "budget", "seed", "draw")


def write_tables(
    out: Path, facts: ExperimentInfo, results: Sequence[JobResult], comparisons: Sequence[Comparison]
) -> None:
    """Write ``results.csv``, ``cases.csv``, ``picks.csv`` and ``comparisons.csv`` into ``out``.

    Dice is in [0, 1], HD95 and ASD in ``facts.unit``, in ``comparisons.csv`` too.
    """
    _write(out / "results.csv", _result_columns(facts), (_result_row(result) for result in results))
    columns = (*_JOB, "case", "label", *_SCORES)
    _write(out / "cases.csv", columns, (row for result in results for row in _case_rows(result, facts.labels)))
    columns = (*_JOB, "rank", "image")
    _write(out / "picks.csv", columns, (row for result in results for row in _pick_rows(result)))
    columns = (
        "strategy",
        "method",
        "against",
        "against_method",
        "budget",
        "metric",
        "difference",
        "low",
        "high",
        "verdict",
    )
    _write(out / "comparisons.csv", columns, (_comparison_row(comparison) for comparison in comparisons))


def _result_columns(facts: ExperimentInfo) -> list[str]:
    per_label = [f"{metric}_{label}" for metric in _SCORES for label in facts.labels]
    selection = ["alpha", "mean_coverage", "max_coverage"]
    return [*_JOB, "labels", *_SCORES, *per_label, *selection, "steps", "seconds", "trained_with", "training"]


def _result_row(result: JobResult) -> list[Cell]:
    tables = [np.array(table, dtype=np.float64) for table in (result.dice, result.hd95, _asd(result))]
    means = [float(mean(mean(table, axis=1), axis=0)) for table in tables]
    per_label = [float(value) for table in tables for value in mean(table, axis=0)]
    selection = [result.alpha, result.mean_coverage, result.max_coverage]
    training: list[Cell] = [result.steps, result.seconds, result.trained_with, result.training]
    return [*_job(result.job), len(result.picks), *means, *per_label, *selection, *training]


def _case_rows(result: JobResult, labels: Sequence[str]) -> Iterable[list[Cell]]:
    for case, *values in zip(result.cases, result.dice, result.hd95, _asd(result), strict=True):
        for label, *scores in zip(labels, *values, strict=True):
            yield [*_job(result.job), case, label, *scores]


def _asd(result: JobResult) -> Sequence[Sequence[float]]:
    """Not known in results of earlier versions."""
    return result.asd or [[math.nan] * len(row) for row in result.dice]


def _pick_rows(result: JobResult) -> Iterable[list[Cell]]:
    for rank, image in enumerate(result.picks, start=1):
        yield [*_job(result.job), rank, image]


def _comparison_row(one: Comparison) -> list[Cell]:
    gap = one.difference
    names = [one.strategy, one.method, one.against, one.against_method]
    return [*names, one.budget, one.metric, gap.value, gap.low, gap.high, one.verdict]


def _job(job: Job) -> list[Cell]:
    return [job.strategy, job.method, job.budget, job.seed, job.draw]


def _write(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_text(cell) for cell in row] for row in rows)


def _text(cell: Cell) -> str:
    """Six significant digits, which is more than a Dice has; nothing for None and NaN."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
