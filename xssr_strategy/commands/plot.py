"""The picture of ``xssr select --plot``: where the picks lie, why this alpha, and how well the picks cover the pool."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from xssr_strategy.commands.outputs import writing
from xssr_strategy.errors import UserError
from xssr_strategy.pool_map.scatter import (
    Badge,
    Mark,
    add_legend,
    blank_figure,
    draw_points,
    name_mark,
    name_plane,
    number_points,
    principal_plane,
    shrink_factor,
    thin,
)
from xssr_strategy.selection.checks import Rows, checked_order, checked_rows

Calibration = Sequence[tuple[float, float, float]]

SIZE = (10.8, 7.0)
"""Inches: a landscape A4 page within its margins, so that type has its size in print."""

DPI = 200
FORMATS = (".png", ".pdf", ".svg")
NUMBERED = 60  # picks that get a number at most

# Okabe and Ito's palette; the forms alone suffice in greyscale.
_PICK, _LABELLED = "#0072B2", "#D55E00"
_POOL_MARK = Mark("o", "#B0B0B0", "white", 26.0, 0.6)
_SOURCE_MARK = Mark("x", "#E69F00", "#E69F00", 18.0, 0.9, layer=2)
_LABELLED_MARK = Mark("s", _LABELLED, "black", 40.0, layer=5.5)  # over the lines of the numbers
_PICK_MARK = Mark("o", _PICK, "white", 30.0, 1.0, layer=6)
_NUMBERED_MARK = Mark("o", _PICK, "white", 121.0, 1.0)  # as large as a number, for the legend
_OTHER_PICK_MARK = Mark("o", "white", _PICK, 20.0, 1.0, layer=3)
_FONT, _FONT_SMALL, _FONT_NUMBER = 9.5, 8.5, 7.5
_NEAREST = "mean distance to\nthe nearest pick"


def check_plot(path: Path) -> None:
    """Refuse a path before any work is done.

    Raises:
        UserError: no picture can be written there.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--plot {path}: no picture has that ending; name a file that ends in {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise UserError(f"--plot {path}: its folder does not exist; make it or name another.")


def draw_selection(
    path: Path,
    target: NDArray[np.floating],
    source: NDArray[np.floating] | None,
    labelled: Rows,
    picks: Rows,
    calibration: Calibration,
    alpha: float,
    coverage: Sequence[float],
    worthwhile: int | None,
    advice: str,
) -> None:
    """Write the picture of a selection; the arguments after ``path`` are those of :func:`selection_figure`.

    Raises:
        UserError: no picture can be written to ``path``.
    """
    check_plot(path)
    figure = selection_figure(target, source, labelled, picks, calibration, alpha, coverage, worthwhile, advice)
    with writing("--plot", path):
        figure.savefig(path, dpi=DPI)


def selection_figure(
    target: NDArray[np.floating],
    source: NDArray[np.floating] | None,
    labelled: Rows,
    picks: Rows,
    calibration: Calibration,
    alpha: float,
    coverage: Sequence[float],
    worthwhile: int | None,
    advice: str,
) -> Figure:
    """The map of the images on the left, calibration and coverage on the right, the advice below.

    Args:
        target: (N, D) vectors of the pool, labelled images included.
        source: (M, D) vectors of the source, or None.
        labelled: rows of ``target`` that are annotated, as numbers or as a boolean mask.
        picks: rows of ``target`` in pick order; their ranks follow on the labelled ones.
        calibration: (alpha, mean coverage, max coverage) for every alpha tried; empty if none was.
        alpha: the weight of novelty in force.
        coverage: mean coverage after 1, 2, ... picks; may go on past the picks.
        worthwhile: number of picks past which another one gains little, or None.
        advice: one sentence for below the panels.

    Raises:
        ValueError: rows that are none of ``target``.
    """
    done: list[int] = checked_rows("labelled", labelled, len(target)).tolist()
    chosen: list[int] = checked_order("picks", picks, len(target)).tolist()
    figure = blank_figure(SIZE, DPI)
    grid = figure.add_gridspec(2, 2, width_ratios=(2.0, 1.0), height_ratios=(1.0 if calibration else 0.01, 1.0))
    if calibration:
        halves = grid[0, 1].subgridspec(2, 1, height_ratios=(1.0, 0.6))
        _draw_calibration(figure.add_subplot(halves[0]), figure.add_subplot(halves[1]), calibration, alpha)
    else:
        why = f"alpha {alpha:.2f}: no source, so novelty is off" if source is None else f"alpha fixed at {alpha:.2f}"
        _name(figure.add_subplot(grid[0, 1]), why, "", "").set_axis_off()
    _draw_coverage(figure.add_subplot(grid[1, 1]), coverage, len(done), len(chosen), worthwhile)
    figure.supxlabel(textwrap.fill(advice, 150), x=0.01, ha="left", fontsize=_FONT, parse_math=False)
    map_axes = figure.add_subplot(grid[:, 0])
    places = _draw_images(map_axes, target, target[:0] if source is None else source, done)
    _draw_picks(map_axes, places, done, chosen)
    return figure


def _draw_images(
    axes: Axes, target: NDArray[np.floating], source: NDArray[np.floating], labelled: Sequence[int]
) -> NDArray[np.float64]:
    """Draw all images but the picks; return (N, 2) the places of the pool."""
    pool, known, share = principal_plane(target, source)
    done, shrink = pool[list(labelled)], shrink_factor(1000, len(pool))
    _draw_kind(axes, "pool", pool, _POOL_MARK, shrink)
    _draw_kind(axes, "source", known, _SOURCE_MARK, max(0.4, shrink))
    _draw_kind(axes, "labelled", done, _LABELLED_MARK, shrink_factor(100, len(done)))
    _name(axes, "Map of the images: a 2-D projection, so distances in it are only part of the truth", "", "")
    name_plane(axes, share, _FONT_SMALL)
    axes.set_aspect("equal", adjustable="datalim")
    return pool


def _draw_kind(axes: Axes, name: str, points: NDArray[np.floating], mark: Mark, shrink: float) -> None:
    """Draw ``points`` (P, 2), at most ``DRAWN``, and name and count them in the legend."""
    if len(points):
        drawn = thin(points)
        draw_points(axes, drawn, mark, shrink)
        some = f", {len(drawn):,} drawn" if len(drawn) < len(points) else ""
        name_mark(axes, mark, f"{name} ({len(points):,}{some})")


def _draw_picks(axes: Axes, places: NDArray[np.floating], labelled: Sequence[int], picks: Sequence[int]) -> None:
    """Mark the picks among the images at ``places`` (N, 2), add the legend, and write the ranks of the first picks."""
    first = len(labelled) + 1
    end = first + min(NUMBERED, len(picks))
    numbered, others = np.split(places[list(picks)], [end - first])
    if len(numbered):
        draw_points(axes, numbered, _PICK_MARK)
        name_mark(axes, _NUMBERED_MARK, f"picks, rank {first}" + f" to {end - 1}" * (end > first + 1))
    if len(others):
        draw_points(axes, others, _OTHER_PICK_MARK, shrink_factor(400, len(others)) ** 2)
        name_mark(axes, _OTHER_PICK_MARK, f"picks {end} to {first + len(picks) - 1}, no number")
    add_legend(axes, 3, _FONT_SMALL, 3.0)
    side = 4.0 + 5.0 * max(2, len(str(end - 1)))  # points
    badge = Badge("o", _PICK, True, side, _FONT_NUMBER, "white")
    obstacles = places[[*picks, *labelled]]
    number_points(axes, numbered, range(first, end), [badge] * len(numbered), obstacles, over=True)


def _draw_calibration(mean_axes: Axes, largest_axes: Axes, calibration: Calibration, alpha: float) -> None:
    """Draw mean and max coverage over alpha, and mark the alpha in force."""
    alphas, means, radii = np.array(sorted(calibration)).T
    for axes, values, label in ((mean_axes, means, _NEAREST), (largest_axes, radii, "largest\ndistance")):
        axes.axvline(alpha, color=_LABELLED, linewidth=1.0, linestyle="--")
        axes.plot(alphas, values, "o-", color=_PICK, linewidth=1.5, markersize=4)
        axes.plot(alpha, np.interp(alpha, alphas, values), "D", color=_LABELLED, markersize=8, markeredgecolor="black")
        axes.set_xlim(-0.04, 1.04)
        axes.margins(y=0.15)
        _name(axes, "", "", label)
    mean_axes.tick_params(labelbottom=False)
    mean_axes.set_title(f"alpha {alpha:.2f}: smallest mean distance", loc="left", fontsize=_FONT)
    largest_axes.set_xlabel("alpha: weight of novelty against diversity", fontsize=_FONT_SMALL)


def _draw_coverage(axes: Axes, coverage: Sequence[float], labelled: int, budget: int, worthwhile: int | None) -> None:
    """Draw the mean coverage over the number of picks, and mark the budget and where more picks gain little."""
    count = np.arange(1, len(coverage) + 1)
    axes.plot(count, coverage, "-", color=_PICK, linewidth=1.8)
    marks = [("o", "-", budget, f"budget ({budget:,})")]
    if worthwhile is not None:
        marks.append(("D", "--", worthwhile, f"past {worthwhile:,} another pick gains little"))
    for marker, line, place, label in marks:
        height = float(np.interp(place, count, coverage)) if len(coverage) else 0.0
        axes.plot([place, place], [0.0, height], line, color=_LABELLED, linewidth=1.0)
        axes.plot(place, height, marker, color=_LABELLED, markersize=7.5, markeredgecolor="black", label=label,
                  clip_on=False, zorder=3)  # fmt: skip
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=4.5, frameon=False, fontsize=_FONT_SMALL)
    axes.set_xlim(0.0, 1.04 * max(1, budget, worthwhile or 0, len(coverage)))
    axes.set_ylim(0.0, 1.06 * max(coverage, default=0.0) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    before = f" (labelled before: {labelled:,})" if labelled else ""
    _name(axes, "What more picks gain", f"number of picks{before}", _NEAREST)


def _name(axes: Axes, title: str, x: str, y: str) -> Axes:
    axes.set_title(title, loc="left", fontsize=_FONT)
    axes.set_xlabel(x, fontsize=_FONT_SMALL)
    axes.set_ylabel(y, fontsize=_FONT_SMALL)
    axes.tick_params(labelsize=_FONT_SMALL)
    return axes
