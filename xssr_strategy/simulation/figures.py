"""The figures of a simulation's report as SVG: learning curves, differences to random, and the choice of alpha.

Colours are Okabe and Ito's, which people with the common kinds of colour blindness can tell apart; marks and line
styles suffice in greyscale.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from xssr_strategy.selection.catalogue import RANDOM
from xssr_strategy.simulation.results import JobResult
from xssr_strategy.simulation.scores import Scores, Table, budgets, strategies
from xssr_strategy.simulation.statistics import ENOUGH, Comparison, count
from xssr_strategy.simulation.strategies import FULL, SOURCE_ONLY

WIDTH = 7.1
"""Inches: a portrait A4 page within its margins, so that type has its size in print."""

_FONT, _FONT_SMALL = 9.5, 8.5
_GREY, _RULE = "#595959", "#DDDDDD"
_LOGARITHMIC = 8.0  # our choice: largest over smallest budget from which the axis is logarithmic
_BANDS = 4  # our choice: of more strategies only the first and ``random`` get a band
_TICKS = 8  # budgets with a tick at most
_STYLE: Any = {"svg.hashsalt": "xssr", "svg.fonttype": "path", "text.parse_math": False, "font.size": _FONT}


@dataclass(frozen=True)
class Look:
    """How a strategy is drawn, in every figure the same."""

    colour: str
    marker: str
    line: str
    filled: bool

    @property
    def face(self) -> str:
        return self.colour if self.filled else "white"


_RANDOM = Look(_GREY, "s", "--", False)
_LOOKS = tuple(
    Look(colour, marker, line, filled)
    for filled in (True, False)
    for colour, marker, line in (
        ("#0072B2", "o", "-"),
        ("#D55E00", "^", "-."),
        ("#009E73", "D", ":"),
        ("#CC79A7", "v", "-"),
        ("#E69F00", "P", "-."),
        ("#56B4E9", "X", ":"),
        ("#000000", "p", "-"),
    )
)


def looks(names: Sequence[str]) -> dict[str, Look]:
    """The look of each strategy, in order; past fourteen they repeat."""
    others = [name for name in names if name != RANDOM]
    return {name: _LOOKS[place % len(_LOOKS)] for place, name in enumerate(others)} | {RANDOM: _RANDOM}


def learning_curves(table: Table, default: str) -> str | None:
    """Dice over labels, mean and standard deviation; of a single budget every job beside its mean. None without any.

    Args:
        table: Dice.
        default: the strategy that comes first.
    """
    names = strategies(table, default)
    every = {budget for name in names for budget in budgets(table, name)}
    if not names:
        return None
    if len(every) == 1:
        return _svg(0.9 + 0.36 * len(names), lambda axes: _draw_dots(axes, table, names, *every))
    return _svg(3.7, lambda axes: _draw_curves(axes, table, names, sorted(every)))


def differences(comparisons: Sequence[Comparison], names: Sequence[str]) -> str:
    """Forest plot of the differences with their intervals, a row each.

    Args:
        comparisons: at least one, all in one metric and against the same strategy.
        names: the strategies of all figures, in order.
    """
    look, first, several = looks(names), comparisons[0], len({one.budget for one in comparisons}) > 1
    metric, side = ("Dice", "right") if first.metric == "dice" else ("HD95", "left")
    budget = "" if several else f" with {count(first.budget, 'label')}"

    def draw(axes: Axes) -> None:
        axes.axvline(0.0, color="black", linewidth=1.0)
        for row, one in enumerate(comparisons):
            style, gap, (value, low, high) = look[one.strategy], one.shown, one.texts
            axes.plot([gap.low, gap.high], [row, row], "-", color=style.colour, linewidth=2.0)
            _mark(axes, gap.value, row, style)
            axes.annotate(f"{value} [{low}, {high}] {one.verdict if one.decided else ''}", (1.02, row),
                          xycoords=("axes fraction", "data"), va="center", fontsize=_FONT_SMALL,
                          color="black" if one.decided else _GREY, annotation_clip=False)  # fmt: skip
        _rows(axes, [f"{one.strategy}, {one.budget:,}" if several else one.strategy for one in comparisons])
        axes.margins(x=0.08)
        _name(axes, f"{metric}{budget}: difference to {first.against} in {first.unit}; {side} of 0 is better", "")

    return _svg(0.9 + 0.3 * len(comparisons), draw)


def calibration_curve(results: Mapping[tuple[str, int], JobResult]) -> str | None:
    """Mean coverage over alpha for every strategy and budget that tried several; None without any.

    Each curve is drawn above its own smallest value: coverage shrinks with the budget, and the choice is within one.

    Args:
        results: one by strategy and budget.
    """
    tried = {key: one for key, one in results.items() if len(one.calibration) > 1}
    if not tried:
        return None

    def draw(axes: Axes) -> None:
        for place, ((strategy, budget), one) in enumerate(tried.items()):
            style = _LOOKS[place % len(_LOOKS)]
            alphas, means, _ = np.array(sorted(one.calibration)).T
            above = 100.0 * (means / means.min() - 1.0) if means.min() > 0.0 else np.zeros_like(means)
            chosen = "" if one.alpha is None else f": alpha {one.alpha:.2f}"
            axes.plot(alphas, above, style.line, marker=style.marker, color=style.colour, markersize=4.5, linewidth=1.5,
                      markerfacecolor=style.face, label=f"{strategy}, {budget:,}{chosen}")  # fmt: skip
            if one.alpha is not None:
                axes.plot(one.alpha, np.interp(one.alpha, alphas, above), "o", markersize=12, markerfacecolor="none",
                          markeredgecolor="black", markeredgewidth=1.4)  # fmt: skip
        axes.plot([], [], "o", markersize=10, markerfacecolor="none", markeredgecolor="black", label="chosen")
        axes.margins(y=0.12)
        axes.grid(axis="y", color=_RULE, linewidth=0.8)
        _legend(axes, range(len(tried) + 1))
        _name(
            axes,
            "alpha: weight of novelty against diversity",
            "mean distance to the nearest\npick, % above the smallest",
        )

    return _svg(2.9, draw)


def _draw_curves(axes: Axes, table: Table, names: Sequence[str], every: Sequence[int]) -> None:
    look = looks(names)
    means = []
    for name in reversed(names):  # the default one on top
        style, counts = look[name], budgets(table, name)
        scores = [table[name, budget] for budget in counts]
        middle = np.array([score.mean for score in scores])
        spread = np.array([score.spread or 0.0 for score in scores])
        if len(names) <= _BANDS or name in (names[0], RANDOM):
            axes.fill_between(counts, middle - spread, middle + spread, color=style.colour, alpha=0.15, linewidth=0)
        axes.plot(counts, middle, style.line, marker=style.marker, color=style.colour, markerfacecolor=style.face,
                  linewidth=2.0, markersize=6, label=name)  # fmt: skip
        means += [*(middle - spread), *(middle + spread)]
    if every[-1] >= _LOGARITHMIC * every[0]:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(every[:: -(-len(every) // _TICKS)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _draw_levels(axes, table, means, axes.axhline, axes.set_ylim)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    _legend(axes, [*reversed(range(len(names))), *range(len(names), len(names) + 3)])
    _name(axes, "annotated images", "mean Dice on the test cases")


def _draw_dots(axes: Axes, table: Table, names: Sequence[str], budget: int) -> None:
    look = looks(names)
    means = []
    for row, name in enumerate(names):
        scores, style = table[name, budget], look[name]
        jobs, spread = scores.jobs, scores.spread or 0.0
        axes.plot([scores.mean - spread, scores.mean + spread], [row, row], "-", color=style.colour, linewidth=2.0)
        lift = row - 0.22 if jobs.size > 1 else row
        axes.plot(jobs, np.full(jobs.size, lift), "o", color=style.colour, markersize=4, alpha=0.55,
                  markeredgewidth=0)  # fmt: skip
        _mark(axes, scores.mean, row, style)
        means += [*jobs, scores.mean - spread, scores.mean + spread]
    _rows(axes, names)
    _draw_levels(axes, table, means, axes.axvline, axes.set_xlim)
    _legend(axes, range(3))
    _name(axes, f"mean Dice on the test cases, {count(budget, 'label')}", "")


def _draw_levels(
    axes: Axes, table: Table, means: Sequence[float], line: Callable[..., object], limit: Callable[..., object]
) -> None:
    """Lines for full data and for none, and limits that leave a far line out rather than squeeze the rest."""
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    full, source = (_level(table, name) for name in (FULL, SOURCE_ONLY))
    if full is not None:
        line(full.mean, color="black", linewidth=1.2, linestyle="--", label=f"full ({full.budget:,}): {full.mean:.3f}")
        line(0.01 * ENOUGH * full.mean, color="black", linewidth=0.7, linestyle=(0, (8, 4)),
             label=f"{ENOUGH:.0f} % of full")  # fmt: skip
        low, high = min(low, 0.01 * ENOUGH * full.mean), max(high, full.mean)
    if source is not None:
        far = source.mean < low - 1.5 * (high - low)
        line(source.mean, color=_GREY, linewidth=1.4, linestyle=":",
             label=f"source-only: {source.mean:.3f}" + ", off the axis" * far)  # fmt: skip
        low, high = low if far else min(low, source.mean), max(high, source.mean)
    air = 0.06 * (high - low) or 0.01
    limit(max(0.0, low - air), min(1.0, high + air))


def _legend(axes: Axes, order: Iterable[int]) -> None:
    """Beside the axes, if there is anything to name; of ``order``, the places that there are."""
    handles, labels = axes.get_legend_handles_labels()
    kept = [place for place in order if place < len(labels)]
    if kept:
        axes.legend([handles[place] for place in kept], [labels[place] for place in kept], loc="center left",
                    bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=_FONT_SMALL, handlelength=3.2)  # fmt: skip


def _level(table: Table, name: str) -> Scores | None:
    run = budgets(table, name)
    return table[name, run[-1]] if run else None


def _mark(axes: Axes, x: float, y: float, style: Look) -> None:
    axes.plot(x, y, style.marker, color=style.colour, markersize=7.5, markerfacecolor=style.face, markeredgewidth=1.4)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """A row for each name, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_RULE, linewidth=0.8)


def _name(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=_FONT)
    axes.set_ylabel(y, fontsize=_FONT)
    axes.tick_params(labelsize=_FONT)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _svg(height: float, draw: Callable[[Axes], None]) -> str:
    """What ``draw`` draws, ``height`` inches high, without a date, so that the same results give the same text."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
