"""A pool drawn as a scatter: the plane, the marks and their legend, and numbers that hide little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from xssr_strategy.selection.reduction import PLANE, signed_pca

DRAWN = 20_000
"""Points of one kind that are drawn at most; our choice."""

_VECTOR = 200  # points of one kind above which a PDF holds them as pixels (our choice)
_STEPS = 2000  # places tried for each number: up to 16 numbers' widths away from its point (our choice)


@dataclass(frozen=True)
class Mark:
    """How the images of one kind are drawn.

    Attributes:
        form: matplotlib's marker.
        face: colour of the inside, "none" for an outline alone; of an ``x`` the colour.
        edge: colour of the outline.
        size: square of the diameter, in square points.
        width: of the outline, in points.
        layer: marks of a larger one are drawn over others.
    """

    form: str
    face: str
    edge: str
    size: float
    width: float = 0.7
    layer: float = 1.0


@dataclass(frozen=True)
class Badge:
    """How the number of an image is drawn.

    Attributes:
        form: matplotlib's marker around the number, or "" for the number alone, which gets a white
            halo and, far from its point, a line.
        colour: of the leader, and of the badge.
        filled: white on the colour, otherwise the colour on white.
        side: of the badge, in points.
        font: size of the number, in points.
        edge: colour of the badge's outline.
    """

    form: str
    colour: str
    filled: bool
    side: float
    font: float
    edge: str


def blank_figure(size: tuple[float, float], dpi: int) -> Figure:
    """A figure of ``size`` inches that needs no screen, its layout kept free of overlaps."""
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def principal_plane(
    target: NDArray[np.floating], source: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The first two principal components of the pool, each with its largest loading positive.

    The pool alone fixes them: otherwise the step from one domain to the other would take up the first.

    Args:
        target: (N, D) vectors of the pool.
        source: (M, D) vectors of the source; M may be 0.

    Returns:
        (N, 2) target and (M, 2) source as multiples of the largest coordinate, and (2,) the share of the variance on
        each axis. What has no variance is 0.
    """
    vectors = thin(target).astype(np.float64)
    places, share = np.zeros((len(target) + len(source), PLANE)), np.zeros(PLANE)
    if np.ptp(vectors, axis=0).max() > 1e-9 * np.abs(vectors).max():
        pca = signed_pca(vectors, PLANE)
        found = np.concatenate([pca.transform(part) for part in (target, source) if len(part)])
        places[:, : found.shape[1]] = found / np.abs(found).max()
        share[: found.shape[1]] = pca.explained_variance_ratio_
    return places[: len(target)], places[len(target) :], share


def name_plane(axes: Axes, share: NDArray[np.floating], font: float) -> None:
    """Label the axes of :func:`principal_plane`, which have no unit, with the ``share`` (2,) of the variance."""
    axes.set_xlabel(f"first principal axis ({100 * share[0]:.0f} % of the pool's variance)", fontsize=font)
    axes.set_ylabel(f"second principal axis ({100 * share[1]:.0f} % of the pool's variance)", fontsize=font)
    axes.tick_params(labelbottom=False, labelleft=False, length=0)


def thin(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Every k-th row, with the smallest k that leaves at most ``DRAWN``."""
    return rows[:: max(1, -(-len(rows) // DRAWN))]


def shrink_factor(few: int, count: int, least: float = 0.2) -> float:
    """The factor by which marks shrink when ``count`` of them are more than a ``few``."""
    return float(np.clip(few / max(1, count), least, 1.0))


def draw_points(
    axes: Axes, places: NDArray[np.floating], mark: Mark, shrink: float = 1.0, shades: Sequence[Any] | None = None
) -> None:
    """Draw images.

    Args:
        axes: to draw on.
        places: (P, 2) in data units.
        mark: of all of them.
        shrink: factor of the mark's size.
        shades: a colour for each image, in place of the mark's own: of the outline where the mark is open.
    """
    axes.scatter(places[:, 0], places[:, 1], s=shrink * mark.size, marker=mark.form, zorder=mark.layer,
                 linewidths=mark.width * min(1.0, 2.0 * shrink), rasterized=len(places) > _VECTOR,
                 **_colours(mark, shades))  # fmt: skip


def name_mark(axes: Axes, mark: Mark, label: str) -> None:
    """An entry of the legend, where the mark has its full size."""
    axes.scatter([], [], s=mark.size, marker=mark.form, linewidths=mark.width, label=label, **_colours(mark))


def add_legend(axes: Axes, columns: int, font: float, gap: float) -> None:
    """The legend of the marks that have a name, ``gap`` font sizes below the axes."""
    legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), borderaxespad=gap, ncols=columns,
                         frameon=False, fontsize=font, handlelength=1.2, columnspacing=1.5)  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)  # names of sites are the user's


def number_points(
    axes: Axes,
    points: NDArray[np.floating],
    numbers: Sequence[int],
    badges: Sequence[Badge],
    obstacles: NDArray[np.floating],
    over: bool = False,
    taken: NDArray[np.floating] | None = None,
) -> None:
    """Write a number at each point. Settles the figure's layout: call it last.

    Args:
        axes: with everything else drawn.
        points: (P, 2) in data units.
        numbers: P of them.
        badges: how each is drawn.
        obstacles: (Q, 2) points that had better stay visible, ``points`` among them.
        over: a number may cover its own point.
        taken: (T, 2) middles of other labels.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    # The numbers are placed in pixels, so the layout has to be settled, and then kept.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    axes.set_autoscale_on(False)
    if not len(points):
        return
    to_pixels, frame = axes.transData, axes.get_window_extent()
    room = (max(badge.side for badge in badges) + 1.5) * figure.dpi / 72.0
    other = None if taken is None or not len(taken) else to_pixels.transform(taken)
    anchors = to_pixels.transform(points)
    places = place_numbers(anchors, to_pixels.transform(obstacles), room, frame.min, frame.max, over, other)
    centres, moves = to_pixels.inverted().transform(places), np.linalg.norm(places - anchors, axis=1)
    for number, badge, point, centre, moved in zip(numbers, badges, points, centres, moves, strict=True):
        _draw_number(axes, number, badge, point, centre, tied=bool(badge.form) or moved > 1.25 * room)


def place_numbers(
    anchors: NDArray[np.floating],
    obstacles: NDArray[np.floating],
    room: float,
    low: ArrayLike,
    high: ArrayLike,
    over: bool = True,
    taken: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Where the numbers go: as near to their points as they hide no other number and few obstacles.

    Greedy, over a spiral around each point, so the same every time, and the line from a number to its point crosses
    few others. A library that pushes labels apart step by step (adjustText 1.4) left 43 pairs of 60 crowded numbers on
    each other, and placed them differently each time. All arguments are in one unit, pixels in practice.

    Args:
        anchors: (P, 2) points that get a number.
        obstacles: (Q, 2) points that had better stay visible, ``anchors`` among them.
        room: the side of the square that a number has for itself.
        low, high: corners of the area that the numbers stay in.
        over: a number may lie on its own point.
        taken: (T, 2) middles of labels that are there already.

    Returns:
        (P, 2) centres of the numbers.
    """
    turns = np.arange(8, _STEPS)
    angles = np.pi * (3.0 - np.sqrt(5.0)) * turns
    spiral = 0.36 * np.sqrt(turns) * np.stack([np.cos(angles), np.sin(angles)])
    steps = room * (np.concatenate([np.zeros((1, 2)), spiral.T]) if over else spiral.T)
    visible, placed = KDTree(obstacles), np.empty((0, 2)) if taken is None else taken
    first, last = np.add(low, room / 2), np.subtract(high, room / 2)
    centres = np.empty((len(anchors), 2))
    for row, anchor in enumerate(anchors):
        places = anchor + steps
        hidden = visible.query_ball_point(places, 0.7 * room, return_length=True)
        if over:
            hidden[0] -= 1  # its own point
        cost = np.linalg.norm(steps, axis=1) / room + 2.0 * np.minimum(hidden, 3)
        cost += 1e3 * (np.abs(places[:, None] - placed).max(axis=2) < room).sum(axis=1)
        cost += 1e4 * ((places < first) | (places > last)).any(axis=1)
        elsewhere = anchors[np.abs(anchors - anchor).max(axis=1) > 0.05 * room]
        crossed = (_from_segments(elsewhere, anchor, places) < 0.35 * room).sum(axis=1)
        crossed += (_from_segments(placed, anchor, places) < 0.5 * room).sum(axis=1)
        crossed += (_from_segments(places, anchors[:row], centres[:row]) < 0.5 * room).sum(axis=0)
        cost += np.minimum(crossed, 2)
        # Points with a number have larger marks than others.
        near = np.linalg.norm(places[:, None] - elsewhere, axis=2) < room
        cost += 2.0 * np.minimum(near.sum(axis=1), 2)
        centres[row] = places[cost.argmin()]
        placed = np.concatenate([placed, centres[[row]]])
    return centres


def _from_segments(
    points: NDArray[np.floating], starts: NDArray[np.floating], ends: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(S, P) distance of ``points`` (P, 2) from the segments between ``starts`` and ``ends`` ((S, 2), or one (2,))."""
    along = (ends - starts)[:, None]
    offsets = points - np.broadcast_to(starts, ends.shape)[:, None]
    share = (offsets * along).sum(axis=2) / np.maximum((along**2).sum(axis=2), 1e-12)
    distances: NDArray[np.float64] = np.linalg.norm(offsets - np.clip(share, 0.0, 1.0)[..., None] * along, axis=2)
    return distances


def _draw_number(
    axes: Axes, number: int, badge: Badge, point: NDArray[np.floating], centre: NDArray[np.floating], tied: bool
) -> None:
    place = (float(centre[0]), float(centre[1]))
    font: dict[str, Any] = {"fontsize": badge.font, "ha": "center", "va": "center_baseline", "zorder": 8}
    if not badge.form:
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": badge.colour, "shrinkB": 3.0}  # ends where both begin
        axes.annotate(str(number), (float(point[0]), float(point[1])), place, color=badge.colour, **font,
                      path_effects=[withStroke(linewidth=1.6, foreground="white")],
                      arrowprops=line if tied else None)  # fmt: skip
        return
    axes.plot(*np.stack([point, centre]).T, color=badge.colour, linewidth=0.9, zorder=5)
    face, ink = (badge.colour, "white") if badge.filled else ("white", badge.colour)
    axes.plot(*centre, linestyle="none", marker=badge.form, markersize=badge.side, markerfacecolor=face,
              markeredgecolor=badge.edge, markeredgewidth=1.0 if badge.filled else 1.4, zorder=7)  # fmt: skip
    axes.annotate(str(number), place, color=ink, fontweight="bold", **font)


def _colours(mark: Mark, shades: Sequence[Any] | None = None) -> dict[str, Any]:
    """The arguments by which matplotlib colours marks; one without an inside takes a single colour."""
    if mark.form == "x":
        return {"color": mark.face if shades is None else shades}
    if mark.face == "none":
        return {"facecolors": "none", "edgecolors": mark.edge if shades is None else shades}
    return {"facecolors": mark.face if shades is None else shades, "edgecolors": mark.edge}
