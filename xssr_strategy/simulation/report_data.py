"""The numbers of a simulation's report for programs: ``report.json``, in which null stands where there is no number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xssr_strategy import __version__
from xssr_strategy.simulation.report_numbers import Numbers
from xssr_strategy.simulation.results import plain
from xssr_strategy.simulation.scores import budgets
from xssr_strategy.simulation.statistics import SHARES, Comparison, labels_needed
from xssr_strategy.simulation.strategies import FULL
from xssr_strategy.storage.atomic_files import write_atomic


def write_report_data(out: Path, methods: Sequence[Numbers], comparisons: Sequence[Comparison], missing: int) -> Path:
    """Write ``OUT/report.json``.

    Dice is in [0, 1], HD95 in ``unit``, shares in per cent. ``results`` has an entry for each strategy, method and
    budget, ``comparisons`` for each paired difference, ``random_sets`` for each place among random sets,
    ``labels_needed`` for each share of full data.

    Args:
        methods: numbers of every training method.
        comparisons: all.
        missing: jobs without a result.
    """
    facts = methods[0].facts
    values = {
        "version": __version__,
        "command": facts.command,
        "source": facts.source,
        "target": facts.target,
        "test": facts.test or facts.target,
        "labels": facts.labels,
        "unit": facts.unit,
        "pool": len(facts.images),
        "default": facts.default,
        "missing_jobs": missing,
        "results": [one for numbers in methods for one in _results(numbers)],
        "comparisons": [{**asdict(one), "verdict": one.verdict, "sentence": one.sentence} for one in comparisons],
        "random_sets": [{**asdict(one), "sentence": one.sentence} for numbers in methods for one in numbers.ranks],
        "labels_needed": [one for numbers in methods for one in _needed(numbers)],
    }
    write_atomic(path := out / "report.json", json.dumps(plain(values), indent=1, allow_nan=False).encode())
    return path


def _results(numbers: Numbers) -> list[dict[str, Any]]:
    return [
        {
            "strategy": strategy,
            "method": numbers.method,
            "budget": budget,
            "dice": scores.mean,
            "dice_deviation": scores.spread,
            "hd95": numbers.hd95[strategy, budget].mean,
            "percent_of_full": None if (share := numbers.percent[strategy, budget]) is None else asdict(share),
            "seeds": len(scores.seeds),
            "draws": len(scores.draws),
        }
        for (strategy, budget), scores in numbers.dice.items()
    ]


def _needed(numbers: Numbers) -> list[dict[str, Any]]:
    if not budgets(numbers.dice, FULL):
        return []
    return [
        {
            "strategy": name,
            "method": numbers.method,
            "percent": share,
            "labels": labels_needed(numbers.dice, name, share)[0],
        }
        for name in numbers.names
        for share in SHARES
    ]
