"""The numbers of a simulation's report, as the text of its cards and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xssr_strategy.selection.catalogue import RANDOM
from xssr_strategy.simulation.bootstrap import Estimate
from xssr_strategy.simulation.random_sets import WORST_SITE, SetRank, set_ranks
from xssr_strategy.simulation.results import ExperimentInfo, JobResult, Site
from xssr_strategy.simulation.scores import Metric, Scores, Table, budgets, gather, mean, strategies
from xssr_strategy.simulation.statistics import (
    ENOUGH,
    SHARES,
    Comparison,
    count,
    decided_draws,
    labels_needed,
    percent_of_full,
    verdicts,
)
from xssr_strategy.simulation.strategies import FULL, OF_SOURCE

NOTHING = "–"
"""What stands where there is no number."""


COLUMNS = 6
"""Strategies side by side in a table of sites; more do not fit on a page."""


@dataclass(frozen=True)
class Numbers:
    """What has been computed of the results of one training method, once for the whole report.

    Attributes:
        facts: what all jobs share.
        method: name of the training method.
        dice, hd95: scores by strategy and budget.
        names: the strategies that pick, the default first.
        comparisons: all between strategies.
        percent: of full data by strategy and budget, where known.
        ranks: of the strategies' sets among random ones.
    """

    facts: ExperimentInfo
    method: str
    dice: Table
    hd95: Table
    names: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    percent: dict[tuple[str, int], Estimate | None]
    ranks: tuple[SetRank, ...]

    @property
    def lead(self) -> str | None:
        """The strategy that the report is about: the default, else the first; None before any has run."""
        return self.names[0] if self.names else None

    def against(self, other: str, metric: Metric = "dice") -> list[Comparison]:
        """The comparisons to one strategy."""
        return [one for one in self.comparisons if (one.against, one.metric) == (other, metric)]


@dataclass(frozen=True)
class Card:
    """A part of the short answer: a large word and what it means."""

    title: str
    value: str
    note: str


@dataclass(frozen=True)
class SiteTable:
    """Sites in rows.

    Attributes:
        columns: strategies whose Dice is told.
        rows: site, images in the pool, test cases, distance to source, and Dice for each of ``columns``.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def numbers_of(
    facts: ExperimentInfo, results: Sequence[JobResult], comparisons: Sequence[Comparison] | None = None
) -> Numbers:
    """Everything that the report tells of one training method in numbers.

    Args:
        results: those of the method.
        comparisons: those of all results, if they are known.
    """
    method = results[0].job.method if results else facts.methods[0]
    compared = verdicts(facts, results) if comparisons is None else comparisons
    dice = gather(results, "dice", facts.patients)
    percent = {key: percent_of_full(dice, *key) for key in dice}
    names = tuple(strategies(dice, facts.default))
    own = tuple(one for one in compared if one.method == one.against_method == method)
    hd95, ranks = gather(results, "hd95", facts.patients), tuple(set_ranks(facts, results))
    return Numbers(facts, method, dice, hd95, names, own, percent, ranks)


def answer(numbers: Numbers) -> list[Card]:
    """What somebody wants to know who reads nothing else; empty before any strategy has run."""
    lead = numbers.lead
    if lead is None:
        return []
    return [_beside_random(numbers, lead), _share_of_full(numbers, lead), _needed(numbers, lead)]


def result_rows(numbers: Numbers) -> list[list[str]]:
    """Strategy, method, labels, Dice, HD95, per cent of full data, difference to random, seeds, draws."""
    gaps = {(one.strategy, one.budget): one for one in numbers.against(RANDOM)}
    rows = []
    for key in ((name, budget) for name in _all_names(numbers) for budget in budgets(numbers.dice, name)):
        dice, hd95, share = numbers.dice[key], numbers.hd95[key].mean, numbers.percent[key]
        spread = "" if dice.spread is None else f" ± {dice.spread:.3f}"
        rows.append([
            key[0],
            numbers.method,
            f"{key[1]:,}",
            _fixed(dice.mean, 3) + spread,
            _fixed(hd95, 1),
            NOTHING if share is None else f"{share.value:.1f}",
            _gap(gaps[key]) if key in gaps else NOTHING,
            str(len(dice.seeds)),
            str(len(dice.draws)),
        ])  # fmt: skip
    return rows


def needed_rows(numbers: Numbers) -> list[list[str]]:
    """For every strategy its name and the labels that it needs for each of ``SHARES``; empty without full data."""
    if not budgets(numbers.dice, FULL):
        return []
    return [[name, *(_needed_words(numbers, name, share) for share in SHARES)] for name in numbers.names]


def _needed_words(numbers: Numbers, name: str, share: float) -> str:
    needed, below = labels_needed(numbers.dice, name, share)
    number = "not reached" if needed is None else f"{needed:,}"
    return f"{number}{f' (but not {_listed(below)})' if below else ''}"


def rank_rows(numbers: Numbers) -> list[list[str]]:
    """Strategy, labels, what judges, Dice, percentile, random sets: mean, lowest, highest and how many.

    All test cases and the worst site of every strategy; labels and sites of the report's own, at its largest budget.
    """
    own = [one for one in numbers.ranks if one.strategy == numbers.lead]
    largest = max((one.budget for one in own), default=0)
    shown = [one for one in numbers.ranks if one.part in ("", WORST_SITE) or (one in own and one.budget == largest)]
    return [
        [
            one.strategy,
            f"{one.budget:,}",
            one.part or "all test cases",
            _fixed(one.dice, 3),
            f"{one.percentile:.0f}",
            *(_fixed(value, 3) for value in (one.random, one.worst, one.best)),
            str(one.draws),
        ]
        for one in shown
    ]


def luck_words(numbers: Numbers) -> list[str]:
    """For every budget how many draws of ``random`` pass for better or worse than the others."""
    found = ((budget, *decided_draws(numbers.dice, budget)) for budget in budgets(numbers.dice, RANDOM))
    return [f"{decided} of {draws} with {count(budget, 'label')}" for budget, decided, draws in found if draws]


def site_tables(numbers: Numbers) -> list[SiteTable]:
    """Sites with the Dice of every strategy at its largest budget, ``COLUMNS`` strategies a table."""
    keys = [(name, budgets(numbers.dice, name)[-1]) for name in _all_names(numbers)]
    groups = [keys[start : start + COLUMNS] for start in range(0, len(keys), COLUMNS)] or [[]]
    return [_site_table(numbers, group) for group in groups]


def _site_table(numbers: Numbers, keys: Sequence[tuple[str, int]]) -> SiteTable:
    columns = tuple(name if name in (FULL, *OF_SOURCE) else f"{name}, {budget:,}" for name, budget in keys)
    rows = [
        (
            site.name,
            f"{len(site.pool):,}",
            f"{len(site.test):,}",
            NOTHING if site.distance is None else f"{site.distance:.2f}",
            *(_fixed(_at(site, numbers.dice[key]), 3) for key in keys),
        )
        for site in (*numbers.facts.sites, *_kinds(numbers.facts))
    ]
    return SiteTable(columns, tuple(rows))


def _kinds(facts: ExperimentInfo) -> list[Site]:
    """The kinds of images as if they were sites."""
    test = {case for site in facts.sites for case in site.test}
    of_kind: dict[str, tuple[list[str], list[str]]] = {}
    for image, kind in facts.kinds.items():
        pool, cases = of_kind.setdefault(kind, ([], []))
        if image in facts.images:
            pool.append(image)
        if image in test:
            cases.append(image)
    return [Site(f"kind {kind}", tuple(pool), tuple(cases), None) for kind, (pool, cases) in sorted(of_kind.items())]


def _all_names(numbers: Numbers) -> list[str]:
    return [name for name in (*numbers.names, FULL, *OF_SOURCE) if budgets(numbers.dice, name)]


def _beside_random(numbers: Numbers, lead: str) -> Card:
    title, gaps = f"{lead} beside random picks", [one for one in numbers.against(RANDOM) if one.strategy == lead]
    if not gaps:
        return Card(title, NOTHING, "random has not run with the same number of labels")
    words = {one.verdict for one in gaps}
    if len(gaps) == 1:
        value = f"{gaps[0].texts[0]} points" if gaps[0].decided else "no difference shown"
        note = f": {gaps[0].verdict}" if gaps[0].decided else f": {_gap(gaps[0])} points"
        return Card(title, value, f"in Dice with {count(gaps[0].budget, 'label')}{note}")
    if len(words) == 1:
        value = words.pop() if gaps[0].decided else "no difference shown"
        return Card(title, value, f"in Dice at all {len(gaps)} numbers of labels")
    counts = [f"{word} at {sum(one.verdict == word for one in gaps)}" for word in ("better", "worse") if word in words]
    rest = "" if all(one.decided for one in gaps) else "; no difference can be shown at the others"
    return Card(title, ", ".join(counts) + f" of {len(gaps)}", f"numbers of labels, in Dice{rest}")


def _share_of_full(numbers: Numbers, lead: str) -> Card:
    title = "Share of full data"
    needed, _ = labels_needed(numbers.dice, lead)
    budget = budgets(numbers.dice, lead)[-1] if needed is None else needed
    share = numbers.percent[lead, budget]
    if share is None:
        return Card(title, NOTHING, "full has not run, so it is not known what all labels give")
    note = (
        f"of the Dice with all {budgets(numbers.dice, FULL)[-1]:,} labels, from {budget:,} "
        f"(95 % interval {share.low:.1f} to {share.high:.1f} %)"
    )
    return Card(title, f"{share.value:.1f} %", note)


def _needed(numbers: Numbers, lead: str) -> Card:
    title, run = f"Labels for {ENOUGH:.0f} % of full data", budgets(numbers.dice, lead)
    if not budgets(numbers.dice, FULL):
        return Card(title, NOTHING, "full has not run, so it is not known what all labels give")
    needed, below = labels_needed(numbers.dice, lead)
    if needed is None:
        return Card(title, f"more than {run[-1]:,}", f"{lead} did not get there with the numbers tried")
    but = f"; with {_listed(below)} it does not" if below else ""
    return Card(title, f"{needed:,}", f"the smallest number tried with which {lead} gets there{but}")


def _listed(budgets: Sequence[int]) -> str:
    return " and ".join(f"{budget:,}" for budget in budgets)


def _gap(one: Comparison) -> str:
    value, low, high = one.texts
    return f"{value} [{low}, {high}]"


def _at(site: Site, scores: Scores) -> float:
    """Mean over the site's cases, then over the jobs; NaN without any."""
    places = [place for place, case in enumerate(scores.cases) if case in set(site.test)]
    jobs = mean(scores.values[:, :, places], axis=2)
    return float(mean(jobs.reshape(-1), axis=0))


def _fixed(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}"
