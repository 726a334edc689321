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
from xssr_strategy.selection.catalogue import RANDOM
from xssr_strategy.simulation import figures
from xssr_strategy.simulation.bootstrap import CONFIDENCE, RESAMPLES
from xssr_strategy.simulation.remarks import trainings_by_remark
from xssr_strategy.simulation.report_data import write_report_data
from xssr_strategy.simulation.report_numbers import (
    Numbers,
    answer,
    luck_words,
    needed_rows,
    numbers_of,
    rank_rows,
    result_rows,
    site_tables,
)
from xssr_strategy.simulation.report_pictures import first_job, picks_of, worst_cases
from xssr_strategy.simulation.results import ExperimentInfo, JobResult, read_experiment_info, read_results
from xssr_strategy.simulation.scores import METRICS, Metric, budgets, by_method
from xssr_strategy.simulation.statistics import ENOUGH, SHARES, Comparison, verdicts
from xssr_strategy.simulation.tables import write_tables
from xssr_strategy.simulation.thumbnails import PREDICTION, TRUTH, label_colours, thumbnail

ROWS = 24
"""Comparisons in one figure at most, if there are several budgets; our choice."""

NO_FAILURES: Mapping[str, str] = MappingProxyType({})


def write_report(out: Path, failures: Mapping[str, str] = NO_FAILURES, missing: int = 0) -> Path:
    """Write ``OUT/report.html``, ``OUT/report.json`` and the CSV files of what ``OUT`` holds so far.

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
    comparisons = verdicts(facts, results)
    groups = by_method(results, facts.methods) or {facts.methods[0]: []}
    numbers = {name: numbers_of(facts, some, comparisons) for name, some in groups.items()}
    first = next(iter(numbers.values()))
    write_tables(out, facts, results, comparisons)
    write_report_data(out, list(numbers.values()), comparisons, missing)
    template = files("xssr_strategy.simulation").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(template).render(
        facts=facts,
        missing=missing,
        failures=failures,
        remarks=trainings_by_remark(results),
        version=__version__,
        **_numbers(list(numbers.values()), [one for one in comparisons if one.method != one.against_method]),
        **_figures(list(numbers.values()), groups[first.method]),
        **_pictures(out, first, groups[first.method]),
        **_small_print(facts, results),
    )
    report = out / "report.html"
    report.write_text(page, encoding="utf-8")
    return report


def _numbers(methods: Sequence[Numbers], between: Sequence[Comparison]) -> dict[str, Any]:
    """The numbers of every method; the short answer is about the first."""
    first = methods[0]
    groups: dict[str, list[Comparison]] = {}
    for numbers in methods:
        groups |= {f"{title}{_of(numbers, methods)}": group for title, group in _groups(numbers).items()}
    for metric, name in (("dice", "Dice"), ("hd95", "HD95")):
        groups[f"{name}, beside {first.method} training on the same picks"] = [
            one for one in between if one.metric == metric
        ]
    return {
        "lead": first.lead,
        "method": first.method,
        "cards": answer(first),
        "lead_sentences": [one.sentence for one in first.against(RANDOM) if one.strategy == first.lead],
        "rows": [row for numbers in methods for row in result_rows(numbers)],
        "needed": [(_of(numbers, methods), rows) for numbers in methods if (rows := needed_rows(numbers))],
        "shares": [f"{share:g}" for share in SHARES],
        "rank": next(
            (one.sentence for one in reversed(first.ranks) if one.strategy == first.lead and not one.part), ""
        ),
        "ranks": [(_of(numbers, methods), rows) for numbers in methods if (rows := rank_rows(numbers))],
        "verdicts": {title: [one.sentence for one in group] for title, group in groups.items() if group},
        "luck": luck_words(first),
        "sites": [(_of(numbers, methods), table) for numbers in methods for table in site_tables(numbers)],
    }


def _groups(numbers: Numbers) -> dict[str, list[Comparison]]:
    others = [one for one in numbers.comparisons if one.against != RANDOM]
    return {
        "Dice, beside random": numbers.against(RANDOM),
        "Dice, beside the other strategies": [one for one in others if one.metric == "dice"],
        "HD95, beside random": numbers.against(RANDOM, "hd95"),
        "HD95, beside the other strategies": [one for one in others if one.metric == "hd95"],
    }


def _of(numbers: Numbers, methods: Sequence[Numbers]) -> str:
    """The name of the method, where there are several."""
    return f" ({numbers.method} training)" if len(methods) > 1 else ""


def _figures(methods: Sequence[Numbers], results: Sequence[JobResult]) -> dict[str, Any]:
    """Curves and differences of every method; alpha, which no training changes, of the first one's ``results``."""
    first = methods[0]
    keys = [(name, budget) for name in first.names for budget in budgets(first.dice, name)]
    curves = [(_of(one, methods), figures.learning_curves(one.dice, one.facts.default)) for one in methods]
    calibration = figures.calibration_curve({key: first_job(results, *key) for key in keys})
    return {
        "curves": [(of, _svg_uri(svg)) for of, svg in curves if svg is not None],
        "forests": [
            (_of(one, methods), _svg_uri(svg)) for one in methods for metric in METRICS for svg in _forests(one, metric)
        ],
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
    colours = label_colours(numbers.facts.labels)
    return {
        "picks": picks_of(numbers, results, picture),
        "worst": [] if lead is None else worst_cases(out, numbers, results, (lead, budget)),
        "worst_budget": budget,
        "truth_colour": "currentColor" if colours else TRUTH,
        "prediction_colour": "currentColor" if colours else PREDICTION,
        "label_colours": colours,
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
