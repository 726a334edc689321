"""The one picture of the demo: where the picks lie among the images, and what they were worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.decomposition import PCA

SIZE = (12.0, 5.5)
"""Inches; small enough for a page across, large enough for type of 9 points."""

DPI = 300


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        source: (M, D) vectors of the source images.
        target: (N, D) vectors of the pool.
        kinds: N strings, "common" or "minority".
        picks: for every strategy the indices into ``target`` in the order of the picks. The first strategy is drawn
            as the one that matters, the second as what it is compared with.
        dice: for the same strategies the mean Dice on the unseen images after every round.
        alpha: weight of novelty that XSSR chose, or None.
        rounds: annotations made with each strategy.
    """

    source: NDArray[np.floating]
    target: NDArray[np.floating]
    kinds: Sequence[str]
    picks: dict[str, list[int]]
    dice: dict[str, list[float]]
    alpha: float | None
    rounds: int


@dataclass(frozen=True)
class _Strategy:
    """How a strategy is drawn: the colour (Okabe and Ito's palette) and the form each suffice to tell it."""

    colour: str
    line: str
    marker: str
    filled: bool

    @property
    def face(self) -> str:
        return self.colour if self.filled else "white"


@dataclass(frozen=True)
class _Pool:
    """How one kind of image in the pool is drawn; ``size`` in square points."""

    marker: str
    colour: str
    size: float


Box = tuple[float, float, float, float]

_STRATEGIES = (_Strategy("#0072B2", "-", "o", True), _Strategy("#D55E00", "--", "s", False))
_POOL = {"common": _Pool("o", "#D9D9D9", 34.0), "minority": _Pool("^", "#F0E442", 58.0)}
_GREY, _EDGE = "#9A9A9A", "#4D4D4D"
_FONT = 10.5
_FONT_SMALL = 9.5
_BADGE = 18.0  # points: side of a number with the air around it


def draw(result: DemoResult, path: Path) -> None:
    """Write the picture as a PNG: the map of the embeddings on the left, Dice over the rounds on the right."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    map_axes, dice_axes = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
    _draw_dice(dice_axes, result)
    source, target = _draw_images(map_axes, result)
    # The numbers are placed in pixels, so the layout has to be settled, and then kept.
    canvas.draw()
    figure.set_layout_engine("none")
    map_axes.set_autoscale_on(False)
    _draw_picks(map_axes, result, source, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def project(source: NDArray[np.floating], target: NDArray[np.floating]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first two principal components of the pool, and the source in the same coordinates.

    Components of all vectors together would mostly show the step from one scanner to the other, with the pool, which
    the picks are about, in a heap.

    Returns:
        (M, 2) source, (N, 2) target, and (2,) the share of the pool's variance that each component explains.
    """
    pca = PCA(n_components=2, svd_solver="full").fit(target)
    return pca.transform(source), pca.transform(target), pca.explained_variance_ratio_


def place_badges(anchors: NDArray[np.floating], obstacles: NDArray[np.floating], room: float, box: Box) -> np.ndarray:
    """Where the number of each pick goes: near its point, on no other number, and on few points.

    Greedy, over a ring of places around each point; all arguments in one unit, pixels in practice.

    Args:
        anchors: (P, 2) the picked points.
        obstacles: (Q, 2) all points that had better stay visible.
        room: the least distance between the centres of two numbers.
        box: left, bottom, right and top of the area that the numbers have to stay in.

    Returns:
        (P, 2) centres of the numbers.
    """
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False) + np.pi / 4
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    steps = np.concatenate([ring * room * reach for reach in (1.1, 1.5, 2.0, 2.6, 3.3)])
    low, high = np.asarray(box[:2]) + room / 2, np.asarray(box[2:]) - room / 2
    placed: list[np.ndarray] = []
    for anchor in anchors:
        places = anchor + steps
        outside = ((places < low) | (places > high)).any(axis=1)
        cost = np.linalg.norm(steps, axis=1) / room + 1e3 * outside
        # A covered point is worse than a longer leader, a covered number or an outside place much worse.
        cost += 2.0 * (_distances(places, obstacles) < 0.7 * room).sum(axis=1)
        # Marks of other picks are larger than points.
        cost += 5.0 * ((_distances(places, anchors) < room) & (anchors != anchor).any(axis=1)).sum(axis=1)
        if placed:
            cost += 1e2 * (_distances(places, np.array(placed)) < room).sum(axis=1)
        placed.append(places[int(np.argmin(cost))])
    return np.array(placed).reshape(-1, 2)


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    distances: np.ndarray = np.linalg.norm(first[:, None] - second[None], axis=2)
    return distances


def _draw_images(axes: Axes, result: DemoResult) -> tuple[np.ndarray, np.ndarray]:
    """Draw all images; return the places (M, 2) of the source and (N, 2) of the pool."""
    source, target, share = project(result.source, result.target)
    axes.scatter(source[:, 0], source[:, 1], s=22, marker="x", color=_GREY, linewidths=0.9, zorder=1)
    kinds = np.asarray(result.kinds)
    for kind, style in _POOL.items():
        points = target[kinds == kind]
        axes.scatter(points[:, 0], points[:, 1], s=style.size, marker=style.marker, color=style.colour,
                     edgecolors=_EDGE, linewidths=0.7, zorder=2)  # fmt: skip
    low, high = target.min(axis=0), target.max(axis=0)
    air = 0.15 * (high - low)
    axes.set_xlim(low[0] - air[0], high[0] + air[0])
    axes.set_ylim(low[1] - air[1], high[1] + air[1])
    outside = int(((source < low - air) | (source > high + air)).any(axis=1).sum())
    axes.set_xlabel(f"PC 1 ({share[0]:.0%} of the pool's variance)".replace("%", " %"))
    axes.set_ylabel(f"PC 2 ({share[1]:.0%} of the pool's variance)".replace("%", " %"))
    axes.set_title(f"The pool and the {result.rounds} picks of each strategy, in order")
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    axes.legend(handles=_map_legend(result, outside), loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=3,
                frameon=False, fontsize=_FONT_SMALL, handletextpad=0.5, columnspacing=1.6)  # fmt: skip
    return source, target


def _map_legend(result: DemoResult, outside: int) -> list[Line2D]:
    kinds = list(result.kinds)
    handles = [_handle("x", _GREY, f"source ({len(result.source)}{f', {outside} outside' if outside else ''})")]
    for kind, pool in _POOL.items():
        handles.append(_handle(pool.marker, pool.colour, f"pool, {kind} ({kinds.count(kind)})", _EDGE))
    for (strategy, picks), style in zip(result.picks.items(), _STRATEGIES, strict=False):
        minority = sum(kinds[index] == "minority" for index in picks)
        alpha = f", α = {result.alpha:g}" if strategy == "xssr" and result.alpha is not None else ""
        label = f"{strategy}: {minority} of {len(picks)} minority{alpha}"
        handles.append(_handle(style.marker, style.face, label, style.colour, 9.0, 1.8))
    return handles


def _handle(
    marker: str, face: str, label: str, edge: str | None = None, size: float = 6.5, width: float = 0.8
) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, markersize=size, markerfacecolor=face,
                  markeredgecolor=edge or face, markeredgewidth=width, label=label)  # fmt: skip


def _draw_picks(axes: Axes, result: DemoResult, source: np.ndarray, target: np.ndarray) -> None:
    """Mark every pick and write its number beside it."""
    order = [
        (number, index, style)
        for picks, style in zip(result.picks.values(), _STRATEGIES, strict=False)
        for number, index in enumerate(picks, start=1)
    ]
    # From the points to pixels and back: overlap is a matter of the printed page.
    to_pixels = axes.transData
    everything = to_pixels.transform(np.concatenate([source, target]))
    anchors = to_pixels.transform(target[[index for _, index, _ in order]].reshape(-1, 2))
    frame = axes.get_window_extent()
    centres = place_badges(anchors, everything, _BADGE * DPI / 72.0, (frame.x0, frame.y0, frame.x1, frame.y1))
    for (number, index, style), centre in zip(order, to_pixels.inverted().transform(centres), strict=True):
        x, y = target[index]
        axes.plot([x, centre[0]], [y, centre[1]], color=style.colour, linewidth=0.9, zorder=3)
        if style.filled:
            kind = _POOL[result.kinds[index]]
            axes.scatter(x, y, s=1.6 * kind.size, marker=kind.marker, color=style.colour, zorder=4)
        else:
            axes.scatter(x, y, s=150, marker=style.marker, linewidths=1.6, facecolors="none", zorder=5,
                         edgecolors=style.colour)  # fmt: skip
        axes.scatter(centre[0], centre[1], s=(_BADGE - 3.0) ** 2, marker=style.marker, facecolors=style.face,
                     linewidths=1.4, edgecolors=style.colour, zorder=5)  # fmt: skip
        axes.annotate(str(number), centre, color="white" if style.filled else style.colour, ha="center",
                      va="center_baseline", fontsize=_FONT_SMALL, fontweight="bold", zorder=6)  # fmt: skip


def _draw_dice(axes: Axes, result: DemoResult) -> None:
    """Draw Dice over the rounds, one curve for each strategy."""
    finals = []
    for (strategy, values), style in zip(result.dice.items(), _STRATEGIES, strict=False):
        axes.plot(np.arange(1, len(values) + 1), values, style.line, color=style.colour, linewidth=2.2, markersize=8,
                  marker=style.marker, markerfacecolor=style.face, markeredgewidth=1.8,
                  label=strategy)  # fmt: skip
        finals.append(f"{strategy} {values[-1]:.2f}")
    every = np.concatenate([np.asarray(values) for values in result.dice.values()])
    # Whole tenths around the curves with some air, inside the range that Dice has.
    low = max(0.0, np.floor(10 * every.min() - 0.3) / 10)
    high = min(1.0, np.ceil(10 * every.max() + 0.3) / 10)
    axes.set_ylim(low - 0.02 * (high - low) if low == 0.0 else low, high)
    axes.set_xlim(0.7, result.rounds + 0.3)
    axes.set_xticks(np.arange(1, result.rounds + 1))
    axes.set_xlabel("annotated images")
    axes.set_ylabel("mean Dice on unseen images")
    axes.set_title(f"Dice after {result.rounds} annotations: {', '.join(finals)}")
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=_FONT, handlelength=3.2)
