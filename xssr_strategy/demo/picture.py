"""The one picture of the demo: where the picks lie among the images, and what they were worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

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
)

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
class _StrategyStyle:
    """How a strategy is drawn: the colour (Okabe and Ito's palette) and the form each suffice to tell it."""

    colour: str
    line: str
    marker: str
    filled: bool

    @property
    def face(self) -> str:
        return self.colour if self.filled else "white"

    @property
    def badge(self) -> Badge:
        return Badge(self.marker, self.colour, self.filled, 15.0, _FONT_SMALL, self.colour)

    def mark(self, image: Mark) -> Mark:
        """Of a pick that the pool shows as ``image``: the same in the strategy's colour, or a frame around it."""
        if self.filled:
            return Mark(image.form, self.colour, self.colour, 1.6 * image.size, layer=4)
        return Mark(self.marker, "none", self.colour, 150.0, 1.6, layer=5)


_FONT = 10.5
_FONT_SMALL = 9.5
_STRATEGIES = (_StrategyStyle("#0072B2", "-", "o", True), _StrategyStyle("#D55E00", "--", "s", False))
_SOURCE = Mark("x", "#9A9A9A", "#9A9A9A", 22.0, 0.9)
_POOL = {
    "common": Mark("o", "#D9D9D9", "#4D4D4D", 34.0, layer=2),
    "minority": Mark("^", "#F0E442", "#4D4D4D", 58.0, layer=2),
}


def draw(result: DemoResult, path: Path) -> None:
    """Write the picture as a PNG: the map of the embeddings on the left, Dice over the rounds on the right."""
    figure = blank_figure(SIZE, DPI)
    map_axes, dice_axes = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
    _draw_dice(dice_axes, result)
    _draw_map(map_axes, result)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _draw_map(axes: Axes, result: DemoResult) -> None:
    """Draw all images, and the picks with their numbers."""
    target, source, share = principal_plane(result.target, result.source)
    low, high = target.min(axis=0), target.max(axis=0)
    air = 0.15 * (high - low)
    outside = int(((source < low - air) | (source > high + air)).any(axis=1).sum())
    kinds = np.asarray(result.kinds)
    draw_points(axes, source, _SOURCE)
    name_mark(axes, _SOURCE, f"source ({len(source)}{f', {outside} outside' if outside else ''})")
    for kind, mark in _POOL.items():
        draw_points(axes, target[kinds == kind], mark)
        name_mark(axes, mark, f"pool, {kind} ({(kinds == kind).sum()})")
    axes.set_xlim(low[0] - air[0], high[0] + air[0])
    axes.set_ylim(low[1] - air[1], high[1] + air[1])
    name_plane(axes, share, _FONT)
    axes.set_title(f"The pool and the {result.rounds} picks of each strategy, in order")
    styled = list(zip(result.picks.items(), _STRATEGIES, strict=False))
    for (strategy, picks), style in styled:
        for index in picks:
            draw_points(axes, target[[index]], style.mark(_POOL[kinds[index]]))
        name_mark(axes, Mark(style.marker, style.face, style.colour, 81.0, 1.8), _told(result, strategy, picks))
    add_legend(axes, 3, _FONT_SMALL, 3.0)
    rows = [index for (_, picks), _ in styled for index in picks]
    numbers = [number for (_, picks), _ in styled for number in range(1, len(picks) + 1)]
    badges = [style.badge for (_, picks), style in styled for _ in picks]
    number_points(axes, target[rows], numbers, badges, np.concatenate([source, target]))


def _told(result: DemoResult, strategy: str, picks: Sequence[int]) -> str:
    """What the legend says of a strategy."""
    minority = sum(result.kinds[index] == "minority" for index in picks)
    alpha = f", α = {result.alpha:g}" if strategy == "xssr" and result.alpha is not None else ""
    return f"{strategy}: {minority} of {len(picks)} minority{alpha}"


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
