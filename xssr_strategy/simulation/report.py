"""The report of a simulation: one HTML file that opens anywhere without a network, and CSV files beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, StrictUndefined

from xssr_strategy import __version__
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.simulation import figures
from xssr_strategy.simulation.report_numbers import (
    Numbers,
    answer,
    luck_words,
    needed_words,
    numbers_of,
    result_rows,
    site_tables,
)
from xssr_strategy.simulation.report_pictures import first_job, picks_of, worst_cases
from xssr_strategy.simulation.results import ExperimentInfo, JobResult, read_experiment_info, read_results
from xssr_strategy.simulation.scores import METRICS, Metric, budgets
from xssr_strategy.simulation.statistics import CONFIDENCE, ENOUGH, RESAMPLES
from xssr_strategy.simulation.strategies import RANDOM
from xssr_strategy.simulation.tables import write_tables
from xssr_strategy.simulation.thumbnails import PREDICTION, TRUTH, thumbnail

ROWS = 24
"""Comparisons in one figure at most, if there are several budgets; our choice."""

NO_FAILURES: Mapping[str, str] = MappingProxyType({})


def write_report(out: Path, failures: Mapping[str, str] = NO_FAILURES, missing: int = 0) -> Path:
    """Write ``OUT/report.html`` and the CSV files of what ``OUT`` holds so far.

    Args:
        out: folder of a simulation.
        failures: name of a job -> why it was not run or failed; a result that it had before does not count.
        missing: jobs without a result, those of ``failures`` included.

    Returns:
        The HTML file.

    Raises:
        UserError: the facts or a result are missing or damaged.
    """
    facts, results = read_experiment_info(out), [one for one in read_results(out) if one.job.name not in failures]
    numbers = numbers_of(facts, results)
    write_tables(out, facts, results, numbers.comparisons)
    template = files("xssr_strategy.simulation").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(template).render(
        facts=facts,
        missing=missing,
        failures=failures,
        version=__version__,
        **_numbers(numbers),
        **_figures(numbers, results),
        **_pictures(out, numbers, results),
        **_small_print(facts, results),
    )
    report = out / "report.html"
    report.write_text(page, encoding="utf-8")
    return report


def _numbers(numbers: Numbers) -> dict[str, Any]:
    beside_random, others = numbers.against(RANDOM), [one for one in numbers.comparisons if one.against != RANDOM]
    groups = {
        "Dice, beside random": beside_random,
        "Dice, beside the other strategies": [one for one in others if one.metric == "dice"],
        "HD95, beside random": numbers.against(RANDOM, "hd95"),
        "HD95, beside the other strategies": [one for one in others if one.metric == "hd95"],
    }
    return {
        "lead": numbers.lead,
        "cards": answer(numbers),
        "lead_sentences": [one.sentence for one in beside_random if one.strategy == numbers.lead],
        "rows": result_rows(numbers),
        "needed": needed_words(numbers),
        "verdicts": {title: [one.sentence for one in group] for title, group in groups.items() if group},
        "luck": luck_words(numbers),
        "sites": site_tables(numbers),
    }


def _figures(numbers: Numbers, results: Sequence[JobResult]) -> dict[str, Any]:
    keys = [(name, budget) for name in numbers.names for budget in budgets(numbers.dice, name)]
    curves = figures.learning_curves(numbers.dice, numbers.facts.default)
    calibration = figures.calibration_curve({key: first_job(results, *key) for key in keys})
    return {
        "curves": None if curves is None else _svg_uri(curves),
        "forests": [_svg_uri(svg) for metric in METRICS for svg in _forests(numbers, metric)],
        "calibration": None if calibration is None else _svg_uri(calibration),
    }


def _forests(numbers: Numbers, metric: Metric) -> list[str]:
    """One figure, or one for each budget where that would be taller than a page."""
    gaps = numbers.against(RANDOM, metric)
    groups = [gaps]
    if len(gaps) > ROWS:
        groups = [[one for one in gaps if one.budget == budget] for budget in sorted({one.budget for one in gaps})]
    return [figures.differences(group, numbers.names) for group in groups if group]


def _pictures(out: Path, numbers: Numbers, results: Sequence[JobResult]) -> dict[str, Any]:
    preset = _preset(numbers.facts)
    picture = cache(lambda image: thumbnail(numbers.facts.images[image], preset))
    lead = numbers.lead
    budget = budgets(numbers.dice, lead)[-1] if lead is not None else 0
    return {
        "picks": picks_of(numbers, results, picture),
        "worst": [] if lead is None else worst_cases(out, numbers, results, (lead, budget)),
        "worst_budget": budget,
        "truth_colour": TRUTH,
        "prediction_colour": PREDICTION,
    }


def _small_print(facts: ExperimentInfo, results: Sequence[JobResult]) -> dict[str, Any]:
    return {
        "settings": {name: _flat(value) for name, value in facts.settings.items()},
        "seeds": sorted({one.job.seed for one in results}),
        "draws": len({one.job.draw for one in results if one.job.strategy == RANDOM}),
        "cases": len({case for one in results for case in one.cases}),
        "jobs": len(results),
        "trained_with": sorted({one.trained_with for one in results}),
        "resamples": f"{RESAMPLES:,}",
        "confidence": f"{CONFIDENCE:.0f}",
        "enough": f"{ENOUGH:.0f}",
    }


def _preset(facts: ExperimentInfo) -> Preset:
    """The preset that the settings name, or describe with its name."""
    described = facts.settings["preset"]
    return PRESETS[described if isinstance(described, str) else described["name"]]


def _flat(value: Any) -> str:
    """A setting as text; lists and what has names of its own on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_flat(entry)}" for name, entry in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(_flat(entry) for entry in value)
    return str(value)


def _svg_uri(svg: str) -> str:
    """In a data URI of its own, a figure's ids do not meet those of another."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')}"
