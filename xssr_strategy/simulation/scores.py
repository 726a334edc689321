"""The scores of a simulation as arrays, and what two strategies have in common.

A case's score is the mean over the labels that it holds; a case that holds none does not count. Labels come first,
then cases, then seeds and draws, so that every case weighs the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.segmentation.methods.catalogue import SUPERVISED
from xssr_strategy.selection.catalogue import RANDOM
from xssr_strategy.simulation.results import JobResult
from xssr_strategy.simulation.strategies import FULL, OF_SOURCE

Array = NDArray[np.float64]
Metric = Literal["dice", "hd95"]

METRICS: tuple[Metric, ...] = ("dice", "hd95")


@dataclass(frozen=True)
class Scores:
    """Every score of one strategy at one budget in one metric, trained by one method.

    Attributes:
        strategy, budget, metric, method: whose.
        draws, seeds, cases: names of the rows of each axis of ``values``.
        values: (draws, seeds, cases); NaN where the job is missing or the case does not count.
        patients: case -> patient; a case that is not there is a patient of its own.

    >>> from xssr_strategy.simulation.scores import Scores
    >>> values = np.array([[[0.9, 0.7], [0.8, np.nan]]])  # one draw, two seeds, two test cases; one has no score
    >>> one = Scores("xssr", 22, "dice", draws=(0,), seeds=(0, 1), cases=("scan1", "scan2"), values=values)
    >>> one.jobs.round(2).tolist()  # a training each
    [0.8, 0.8]
    >>> round(one.mean, 2), round(one.spread, 2)
    (0.8, 0.0)
    """

    strategy: str
    budget: int
    metric: Metric
    draws: tuple[int, ...]
    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    values: Array
    method: str = SUPERVISED
    patients: Mapping[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> Array:
        """Mean over cases of every job that has one, in the order of draws and seeds."""
        means = mean(self.values, axis=2)
        return means[np.isfinite(means)]

    @property
    def mean(self) -> float:
        """Mean over the jobs; NaN without any."""
        return float(mean(self.jobs, axis=0))

    @property
    def spread(self) -> float | None:
        """Standard deviation (divisor n - 1) over the jobs, that is over seeds and draws; None for less than two."""
        return float(self.jobs.std(ddof=1)) if self.jobs.size > 1 else None


class Pair(NamedTuple):
    """What two sides have in common.

    Attributes:
        one, other: (draws, seeds, cases) of each side, without NaN.
        patients: (cases,) numbers from 0 on; cases of one patient have the same.
    """

    one: Array
    other: Array
    patients: NDArray[np.int64]


Table = Mapping[tuple[str, int], Scores]
"""The scores in one metric by strategy and budget, all of one training method."""


def by_method(results: Sequence[JobResult], first: Sequence[str] = ()) -> dict[str, list[JobResult]]:
    """The results of each training method that has any.

    Args:
        first: methods that come first, in this order; the others follow by name.
    """
    found = {result.job.method for result in results}
    ordered = [*(name for name in first if name in found), *sorted(found - set(first))]
    return {name: [one for one in results if one.job.method == name] for name in ordered}


def gather(
    results: Sequence[JobResult], metric: Metric, patients: Mapping[str, str] | None = None
) -> dict[tuple[str, int], Scores]:
    """The scores of all jobs by strategy and budget; the jobs are those of one training method.

    Args:
        patients: test case -> patient, where cases of one patient are not independent.
    """
    assert len({result.job.method for result in results}) <= 1, "scores of several methods have one key"
    groups: dict[tuple[str, int], list[JobResult]] = {}
    for result in results:
        groups.setdefault((result.job.strategy, result.job.budget), []).append(result)
    return {
        key: replace(_scores(*key, group, metric), patients=patients or {}) for key, group in sorted(groups.items())
    }


def strategies(table: Table, default: str) -> list[str]:
    """Those that pick: the default first, ``random`` last, ``full`` and ``source-only`` left out."""
    names = {strategy for strategy, _ in table} - {FULL, *OF_SOURCE}
    return sorted(names, key=lambda name: (name == RANDOM, name != default, name))


def budgets(table: Table, strategy: str) -> list[int]:
    """Those that a strategy has run with, the smallest first."""
    return sorted(budget for name, budget in table if name == strategy)


def paired(one: Scores, other: Scores, same_draws: bool = False) -> Pair | None:
    """What both sides have, seeds and cases the same; None without any.

    While jobs are missing, the largest set of whole draws is taken in which every draw has the same seeds. A case
    without a score in one of the jobs is left out of all.

    Args:
        same_draws: whether draw number n of both sides has the same picks; then the draws are the same, too.

    >>> one = Scores("xssr", 22, "dice", (0,), (0, 1), ("scan1", "scan2"), np.array([[[0.9, 0.7], [0.8, 0.6]]]))
    >>> other = Scores("random", 22, "dice", (0,), (0,), ("scan2", "scan3"), np.array([[[0.5, 0.4]]]))
    >>> pair = paired(one, other)
    >>> pair.one.tolist(), pair.other.tolist()  # both have seed 0 and scan2
    ([[[0.7]]], [[[0.5]]])
    """
    if same_draws:
        one, other = _with_draws_of(one, other), _with_draws_of(other, one)
    seeds = sorted(set(one.seeds) & set(other.seeds))
    cases = sorted(set(one.cases) & set(other.cases))
    if not seeds or not cases:
        return None
    sides = [values_of(side, seeds, cases) for side in (one, other)]
    done = [np.isfinite(side).any(axis=2) for side in sides]
    if same_draws:
        done = [np.logical_and(*done)] * 2
    largest = 0
    grid: tuple[Array, Array] | None = None
    for first, second in product(np.unique(done[0], axis=0), np.unique(done[1], axis=0)):
        wanted = first & second
        whole = [side[jobs[:, wanted].all(axis=1)][:, wanted] for side, jobs in zip(sides, done, strict=True)]
        size = sum(side.shape[0] * side.shape[1] for side in whole)
        if wanted.any() and size > largest:
            largest, grid = size, (whole[0], whole[1])
    if grid is None:
        return None
    counted = np.logical_and.reduce([np.isfinite(side).all(axis=(0, 1)) for side in grid])
    if not counted.any():
        return None
    names = [one.patients.get(case, case) for case, counts in zip(cases, counted, strict=True) if counts]
    return Pair(grid[0][:, :, counted], grid[1][:, :, counted], np.unique(names, return_inverse=True)[1])


def values_of(scores: Scores, seeds: Sequence[int], cases: Sequence[str]) -> Array:
    """(draws, seeds, cases) the scores of these seeds and cases, in this order; all of them must be there."""
    kept = [scores.seeds.index(seed) for seed in seeds]
    places = {case: place for place, case in enumerate(scores.cases)}
    return scores.values[:, kept][:, :, [places[case] for case in cases]]


def mean(values: Array, axis: int) -> Array:
    """Mean of what is not NaN; NaN where nothing is left.

    >>> mean(np.array([[0.5, np.nan], [np.nan, np.nan]]), axis=1).tolist()
    [0.5, nan]
    """
    counted = np.isfinite(values).sum(axis=axis)
    return np.where(counted > 0, np.nansum(values, axis=axis) / np.maximum(counted, 1), np.nan)


def _with_draws_of(one: Scores, other: Scores) -> Scores:
    """The draws of one side that the other has, too."""
    common = sorted(set(one.draws) & set(other.draws))
    return replace(one, draws=tuple(common), values=one.values[[one.draws.index(draw) for draw in common]])


def _scores(strategy: str, budget: int, group: Sequence[JobResult], metric: Metric) -> Scores:
    draws, seeds = (tuple(sorted({getattr(one.job, axis) for one in group})) for axis in ("draw", "seed"))
    cases = tuple(sorted({case for one in group for case in one.cases}))
    values = np.full((len(draws), len(seeds), len(cases)), np.nan)
    places = {case: place for place, case in enumerate(cases)}
    for one in group:
        rows = [places[case] for case in one.cases]
        labels = np.array(one.dice if metric == "dice" else one.hd95, dtype=np.float64)
        values[draws.index(one.job.draw), seeds.index(one.job.seed), rows] = mean(labels, axis=1)
    return Scores(strategy, budget, metric, draws, seeds, cases, values, group[0].job.method)
