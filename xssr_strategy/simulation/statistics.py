"""What the scores of a simulation say: paired differences with intervals, and a plain verdict on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xssr_strategy.segmentation.methods.catalogue import SUPERVISED
from xssr_strategy.selection.catalogue import RANDOM
from xssr_strategy.simulation.bootstrap import Estimate, estimate, resampled_means
from xssr_strategy.simulation.results import ExperimentInfo, JobResult
from xssr_strategy.simulation.scores import (
    METRICS,
    Metric,
    Scores,
    Table,
    budgets,
    by_method,
    gather,
    paired,
    strategies,
)
from xssr_strategy.simulation.strategies import FULL

ENOUGH = 99.0
"""Per cent of full data that count as enough; our choice."""

SHARES = (98.0, ENOUGH, 99.5)
"""Per cent of full data for which the labels needed are told."""


@dataclass(frozen=True)
class Comparison:
    """One strategy beside another at the same budget, or one training method beside another on the same picks.

    Attributes:
        strategy, against: names of strategies; the same if methods are compared.
        method, against_method: names of training methods; the same if strategies are compared.
        budget: labels that each had.
        metric: ``dice`` (in [0, 1], more is better) or ``hd95`` (less is better).
        unit: in which the sentence tells the difference: ``points`` of a hundredth Dice, ``mm`` or ``pixels``.
        mean: of ``strategy`` over the seeds, draws and cases that both have.
        difference: ``mean`` less that of ``against``, with its interval, in the metric's own unit.
        seeds, cases, patients: how many both have.
        draws: of ``against``.
        own_draws: of ``strategy``.
        beaten: draws of ``against`` whose mean is worse than ``mean``; of methods, than that of the same draw.
    """

    strategy: str
    method: str
    against: str
    against_method: str
    budget: int
    metric: Metric
    unit: str
    mean: float
    difference: Estimate
    seeds: int
    cases: int
    patients: int
    draws: int
    own_draws: int
    beaten: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.difference.low <= 0.0 <= self.difference.high

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where that can be said."""
        if not self.decided:
            return "no difference can be shown"
        return "better" if (self.difference.value > 0.0) == (self.metric == "dice") else "worse"

    @property
    def shown(self) -> Estimate:
        """``difference`` in ``unit``."""
        scale = 100.0 if self.metric == "dice" else 1.0
        return Estimate(
            *(scale * number for number in (self.difference.value, self.difference.low, self.difference.high))
        )

    @property
    def texts(self) -> tuple[str, str, str]:
        """Value, low and high of ``shown``, signed; with two digits where one would be mostly zeros."""
        gap = self.shown
        fine = max(-gap.low, gap.high) < 0.25 or (self.decided and min(abs(gap.low), abs(gap.high)) < 0.05)
        return f"{gap.value:+.{1 + fine}f}", f"{gap.low:+.{1 + fine}f}", f"{gap.high:+.{1 + fine}f}"

    @property
    def sentence(self) -> str:
        """The verdict with its numbers, for people."""
        value, low, high = self.texts
        way = "above" if value.startswith("+") else "below"
        gap = f"{value[1:]} {self.unit} {way}" if float(value) else "level with"
        score = f"Dice {self.mean:.3f}" if self.metric == "dice" else f"HD95 {self.mean:.1f} {self.unit}"
        trained = "" if self.method == self.against_method == SUPERVISED else f" and {self.method} training"
        return (
            f"{self.strategy} with {count(self.budget, 'label')}{trained}: {score}, {gap} {self._other} "
            f"(95 % interval {low} to {high}): {self.verdict}.{self._draws}{self._limits}"
        )

    @property
    def _other(self) -> str:
        if self.method != self.against_method:
            return f"{self.against_method} training"
        if self.against != RANDOM:
            return self.against
        return f"the mean of {self.draws} random draws" if self.draws > 1 else "one random draw"

    @property
    def _draws(self) -> str:
        if self.draws == 1:
            return ""
        beaten = "all" if self.beaten == self.draws else f"{self.beaten} of the"
        if self.method != self.against_method:
            return f" It is better in {beaten} {self.draws} draws."
        return f" It beats {beaten} {self.draws} draws."

    @property
    def _limits(self) -> str:
        patients = f" The interval is over the {self.patients} patients of the {self.cases} test cases."
        known = patients if self.patients < self.cases else ""
        if self.seeds > 1:
            return known
        drawn = " and the draws" if max(self.draws, self.own_draws) > 1 else ""
        return f"{known} With one training seed the interval covers the test cases{drawn} only, not the training."


def count(number: int, noun: str) -> str:
    """``1 label``, ``22 labels``, ``1,200 labels``.

    >>> count(1, "label"), count(1200, "label")
    ('1 label', '1,200 labels')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def compare(one: Scores, other: Scores, unit: str) -> Comparison | None:
    """``one`` beside ``other`` on the seeds and cases that both have; None without any.

    Two methods on the picks of one strategy are compared draw by draw, too.

    >>> xssr = Scores("xssr", 22, "dice", (0,), (0, 1), ("scan1", "scan2"), np.array([[[0.9, 0.7], [0.9, 0.7]]]))
    >>> random = replace(xssr, strategy="random", values=xssr.values - 0.02)  # each test case lost two points
    >>> compare(xssr, random, "mm").sentence
    'xssr with 22 labels: Dice 0.800, 2.0 points above one random draw (95 % interval +2.0 to +2.0): better.'
    """
    same_draws = one.method != other.method
    pair = paired(one, other, same_draws)
    if pair is None:
        return None
    first, second, patients = pair
    means, others = resampled_means(pair, same_draws)
    draws, own = second.mean(axis=(1, 2)), first.mean(axis=(1, 2)) if same_draws else first.mean()
    better = draws < own if one.metric == "dice" else draws > own
    return Comparison(
        strategy=one.strategy,
        method=one.method,
        against=other.strategy,
        against_method=other.method,
        budget=one.budget,
        metric=one.metric,
        unit="points" if one.metric == "dice" else unit,
        mean=float(first.mean()),
        difference=estimate(float(first.mean() - second.mean()), means - others),
        seeds=first.shape[1],
        cases=first.shape[2],
        patients=len(np.unique(patients)),
        draws=len(second),
        own_draws=len(first),
        beaten=int(better.sum()),
    )


def verdicts(facts: ExperimentInfo, results: Sequence[JobResult]) -> list[Comparison]:
    """Every strategy beside ``random``, the default one also beside every other, and methods on the same picks.

    Wherever the budgets agree; strategies are compared within each training method, methods with the first. Dice before
    HD95, ``random`` before others, the default strategy before others, then by name and budget; methods at the end.
    """
    found = []
    for metric in METRICS:
        tables = {
            name: gather(some, metric, facts.patients) for name, some in by_method(results, facts.methods).items()
        }
        for table in tables.values():
            for strategy, against in _pairs(table, facts.default):
                for budget in budgets(table, strategy):
                    if (against, budget) in table:
                        found.append(compare(table[strategy, budget], table[against, budget], facts.unit))
        first, *others = tables.values() or [{}]
        found += [compare(table[key], first[key], facts.unit) for table in others for key in table if key in first]
    return [comparison for comparison in found if comparison is not None]


def decided_draws(table: Table, budget: int) -> tuple[int, int]:
    """How often one set of picks differs from others by luck alone: each draw of ``random`` beside all its others.

    An interval knows the luck of cases, of trainings and of the draws of ``random``. A rule that picks one set for all
    seeds has no more than that set, whose own luck no interval can know; draws that no rule made show how much it is.

    Returns:
        The draws called better or worse than the others in Dice, and all draws; (0, 0) with fewer than three.
    """
    scores = table.get((RANDOM, budget))
    if scores is None or len(scores.draws) < 3:
        return 0, 0
    decided = 0
    for row in range(len(scores.draws)):
        others = np.arange(len(scores.draws)) != row
        one = replace(scores, draws=scores.draws[row : row + 1], values=scores.values[row : row + 1])
        rest = replace(scores, draws=tuple(np.array(scores.draws)[others].tolist()), values=scores.values[others])
        found = compare(one, rest, "")
        decided += found is not None and found.decided
    return decided, len(scores.draws)


def percent_of_full(table: Table, strategy: str, budget: int) -> Estimate | None:
    """A strategy's mean as a percentage of the mean with the whole pool labelled; None where that is not known."""
    whole = budgets(table, FULL)
    pair = paired(table[strategy, budget], table[FULL, whole[-1]]) if whole else None
    if pair is None or pair.other.mean() == 0.0:
        return None
    means, full = resampled_means(pair)
    share = np.divide(means, full, out=np.zeros_like(means), where=full > 0.0)
    return estimate(100.0 * float(pair.one.mean() / pair.other.mean()), 100.0 * share)


def labels_needed(table: Table, strategy: str, share: float = ENOUGH) -> tuple[int | None, list[int]]:
    """The smallest budget run whose mean Dice is ``share`` per cent of full data, and the larger ones whose is not.

    Larger ones below it tell that luck has a part in the smallest. (None, []) if no budget is enough.
    """
    run = budgets(table, strategy)
    found = {budget: percent_of_full(table, strategy, budget) for budget in run}
    enough = [budget for budget, reached in found.items() if reached is not None and reached.value >= share]
    if not enough:
        return None, []
    return enough[0], [budget for budget in run if budget > enough[0] and budget not in enough]


def _pairs(table: Table, default: str) -> Iterator[tuple[str, str]]:
    names = strategies(table, default)
    yield from ((name, RANDOM) for name in names if name != RANDOM)
    if default in names and default != RANDOM:
        yield from ((default, name) for name in names if name not in (default, RANDOM))
