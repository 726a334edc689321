"""The picture of ``xssr select --plot``: where the picks lie, why this alpha, and how well the picks cover the pool."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.spatial import KDTree

from xssr_strategy.errors import UserError
from xssr_strategy.selection.reduction import PLANE, signed_pca

Calibration = Sequence[tuple[float, float, float]]

SIZE = (10.8, 7.0)
"""Inches: a landscape A4 page within its margins, so that type has its size in print."""

DPI = 200
FORMATS = (".png", ".pdf", ".svg")
DRAWN = 20_000  # points of one kind that are drawn at most
NUMBERED = 60  # picks that get a number at most

# Okabe and Ito's palette; the forms alone suffice in greyscale.
_PICK, _LABELLED, _SOURCE, _POOL = "#0072B2", "#D55E00", "#E69F00", "#B0B0B0"
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
    labelled: Sequence[int],
    picks: Sequence[int],
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
    try:
        figure.savefig(path, dpi=DPI)
    except OSError as error:
        raise UserError(
            f"--plot {path}: cannot be written ({error.strerror}); name a file in a folder that you can write to."
        ) from None


def selection_figure(
    target: NDArray[np.floating],
    source: NDArray[np.floating] | None,
    labelled: Sequence[int],
    picks: Sequence[int],
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
        labelled: rows of ``target`` that are annotated.
        picks: rows of ``target`` in pick order; their ranks follow on the labelled ones.
        calibration: (alpha, mean coverage, max coverage) for every alpha tried; empty if none was.
        alpha: the weight of novelty in force.
        coverage: mean coverage after 1, 2, ... picks; may go on past the picks.
        worthwhile: number of picks past which another one gains little, or None.
        advice: one sentence for below the panels.
    """
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(2.0, 1.0), height_ratios=(1.0 if calibration else 0.01, 1.0))
    if calibration:
        halves = grid[0, 1].subgridspec(2, 1, height_ratios=(1.0, 0.6))
        _draw_calibration(figure.add_subplot(halves[0]), figure.add_subplot(halves[1]), calibration, alpha)
    else:
        why = f"alpha {alpha:.2f}: no source, so novelty is off" if source is None else f"alpha fixed at {alpha:.2f}"
        _name(figure.add_subplot(grid[0, 1]), why, "", "").set_axis_off()
    _draw_coverage(figure.add_subplot(grid[1, 1]), coverage, len(labelled), len(picks), worthwhile)
    figure.supxlabel(textwrap.fill(advice, 150), x=0.01, ha="left", fontsize=_FONT, parse_math=False)
    map_axes = figure.add_subplot(grid[:, 0])
    places = _draw_images(map_axes, target, target[:0] if source is None else source, labelled)
    _draw_picks(figure, map_axes, places, labelled, picks)
    return figure


def project(target: NDArray[np.floating], source: NDArray[np.floating]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first two principal components of the pool, each with its largest loading positive.

    The pool alone fixes them: otherwise the step from one domain to the other would take up the first.

    Returns:
        (N, 2) target and (M, 2) source as multiples of the largest coordinate, and (2,) the share of the variance on
        each axis. What has no variance is 0.
    """
    vectors = _thin(target).astype(np.float64)
    places, share = np.zeros((len(target) + len(source), 2)), np.zeros(2)
    if np.ptp(vectors, axis=0).max() > 1e-9 * np.abs(vectors).max():
        pca = signed_pca(vectors, PLANE)
        found = np.concatenate([pca.transform(part) for part in (target, source) if len(part)])
        places[:, : found.shape[1]] = found / np.abs(found).max()
        share[: found.shape[1]] = pca.explained_variance_ratio_
    return places[: len(target)], places[len(target) :], share


def place_numbers(
    anchors: np.ndarray, obstacles: np.ndarray, room: float, low: tuple[float, float], high: tuple[float, float]
) -> np.ndarray:
    """Where the numbers go: each on its point, or as near as it hides no other number and few obstacles.

    Greedy, over a spiral around each point; all arguments in one unit, pixels in practice.

    Args:
        anchors: (P, 2) points that get a number.
        obstacles: (Q, 2) points that had better stay visible, ``anchors`` among them.
        room: the least distance between two numbers.
        low, high: corners of the area that the numbers stay in.

    Returns:
        (P, 2) centres of the numbers.
    """
    turns = np.arange(8, 2000)
    angles = np.pi * (3.0 - np.sqrt(5.0)) * turns
    spiral = 0.36 * np.sqrt(turns) * np.stack([np.cos(angles), np.sin(angles)])
    steps = room * np.concatenate([np.zeros((1, 2)), spiral.T])
    visible, placed = KDTree(obstacles), np.empty((0, 2))
    for anchor in anchors:
        places = anchor + steps
        hidden = visible.query_ball_point(places, 0.7 * room, return_length=True)
        hidden[0] -= 1  # its own point
        cost = np.linalg.norm(steps, axis=1) / room + 2.0 * np.minimum(hidden, 3)
        cost += 1e3 * (np.linalg.norm(places[:, None] - placed, axis=2) < room).sum(axis=1)
        cost += 1e4 * ((places < np.add(low, room / 2)) | (places > np.subtract(high, room / 2))).any(axis=1)
        placed = np.concatenate([placed, places[[cost.argmin()]]])
    return placed


def _draw_images(
    axes: Axes, target: NDArray[np.floating], source: NDArray[np.floating], labelled: Sequence[int]
) -> np.ndarray:
    """Draw all images but the picks; return (N, 2) the places of the pool."""
    pool, known, share = project(target, source)
    done, shrink = pool[list(labelled)], _shrink(1000, len(pool))
    _draw_cloud(axes, "pool", pool, "o", 26.0, shrink, color=_POOL, edgecolors="white", linewidths=0.6 * shrink)
    _draw_cloud(axes, "source", known, "x", 18.0, max(0.4, shrink), color=_SOURCE, linewidths=0.9, zorder=2)
    _draw_cloud(axes, "labelled", done, "s", 40.0, _shrink(100, len(done)), color=_LABELLED, edgecolors="black",
                linewidths=0.7, zorder=4)  # fmt: skip
    _name(axes, "Map of the images: a 2-D projection, so distances in it are only part of the truth",
          f"first principal axis ({100 * share[0]:.0f} % of the pool's variance)",
          f"second principal axis ({100 * share[1]:.0f} % of the pool's variance)")  # fmt: skip
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    axes.set_aspect("equal", adjustable="datalim")
    return pool


def _draw_cloud(
    axes: Axes, name: str, points: np.ndarray, marker: str, size: float, shrink: float, **style: Any
) -> None:
    """Draw ``points`` (P, 2), and name them in the legend, where the marks keep their full ``size``."""
    if len(points):
        drawn = _thin(points)
        axes.scatter(drawn[:, 0], drawn[:, 1], s=shrink * size, marker=marker, rasterized=True, **style)
        some = f", {len(drawn):,} drawn" if len(drawn) < len(points) else ""
        axes.scatter([], [], s=size, marker=marker, label=f"{name} ({len(points):,}{some})", **style)


def _draw_picks(figure: Figure, axes: Axes, places: np.ndarray, labelled: Sequence[int], picks: Sequence[int]) -> None:
    """Mark the picks among the images at ``places`` (N, 2), write the ranks of the first ones, and add the legend."""
    first = len(labelled) + 1
    end = first + min(NUMBERED, len(picks))
    numbered, others = np.split(places[list(picks)], [end - first])
    badge: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": _PICK, "markeredgecolor": "white"}
    if len(numbered):
        axes.plot(*numbered.T, **badge, markersize=5.5, zorder=6)
        axes.plot([], [], **badge, markersize=11, label=f"picks, rank {first}" + f" to {end - 1}" * (end > first + 1))
    if len(others):
        ring, shrink = {**badge, "color": "white", "markeredgecolor": _PICK}, _shrink(400, len(others))
        axes.plot(*others.T, **ring, markersize=4.5 * shrink, markeredgewidth=shrink, zorder=3)
        axes.plot([], [], **ring, markersize=4.5, label=f"picks {end} to {first + len(picks) - 1}, no number")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=3.0, ncols=3, frameon=False,
                fontsize=_FONT_SMALL, handlelength=1.2, columnspacing=1.5)  # fmt: skip
    # The numbers are placed in pixels, so the layout has to be settled, and then kept.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    axes.set_autoscale_on(False)
    side = 4.0 + 5.0 * max(2, len(str(end - 1)))  # points
    to_pixels, frame = axes.transData, axes.get_window_extent()
    obstacles = to_pixels.transform(np.concatenate([numbered, places[list(labelled)]]))
    room = (side + 1.5) * DPI / 72.0
    centres = place_numbers(obstacles[: len(numbered)], obstacles, room, frame.min, frame.max)
    for rank, point, centre in zip(range(first, end), numbered, to_pixels.inverted().transform(centres), strict=True):
        axes.plot(*np.stack([point, centre]).T, color=_PICK, linewidth=0.9, zorder=5)
        axes.plot(*centre, **badge, markersize=side, zorder=7)
        axes.annotate(str(rank), centre, color="white", ha="center", va="center_baseline", fontsize=_FONT_NUMBER,
                      fontweight="bold", zorder=8)  # fmt: skip


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


def _thin(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Every k-th row, with the smallest k that leaves at most ``DRAWN``."""
    return rows[:: max(1, -(-len(rows) // DRAWN))]


def _shrink(few: int, count: int) -> float:
    """The factor by which marks shrink when there are more than a ``few``."""
    return float(np.clip(few / max(1, count), 0.2, 1.0))
