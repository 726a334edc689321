"""The map as a picture for print, without a browser: forms that suffice in grey, 300 dots per inch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.pool_map.colours import OTHERS, PALETTE
from xssr_strategy.pool_map.content import MapContent
from xssr_strategy.pool_map.page import MANY
from xssr_strategy.pool_map.states import FAILED, LABELLED, PICKED, POOL, SKIPPED, SOURCE, STYLES, Style

DPI = 300
SIZE = (7.0, 5.6)
"""Inches: as wide as the text of a page."""

_NUMBERED = 30  # picks that get their number in the pick order at most (our choice)
_FONT, _FONT_SMALL = 8.5, 6.5


def check_picture(path: Path, option: str = "--png") -> None:
    """Refuse a path before any work is done.

    Raises:
        UserError: no PNG can be written there.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"{option} {path}: has another ending; name a file that ends in .png.")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: its folder does not exist; make it or name another.")


def draw_map(path: Path, content: MapContent, colour: str) -> None:
    """Write the map as a PNG.

    Args:
        content: of the pool.
        colour: one of ``colours.CHOICES``; the state, where there is no data for it.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        map_figure(content, colour).savefig(path, dpi=DPI)
    except OSError as error:
        raise UserError(f"--png {path}: cannot be written ({error.strerror}); name another file.") from None


def map_figure(content: MapContent, colour: str) -> Figure:
    """The map with its legend below; see :func:`draw_map`."""
    fixed, changing = content.fixed, content.changing
    chosen = next((one for one in fixed["colours"] if one["key"] == colour), None)
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = np.array([fixed["x"], fixed["y"]], dtype=np.float64).T.reshape(-1, 2)
    counts = Counter(changing["states"]) | Counter({SOURCE.letter: len(fixed["ids"]) - fixed["pool"]})
    scale = _scale(chosen)
    for style in STYLES:
        if counts[style.letter] and style is not FAILED:
            rows = _rows(fixed, changing["states"], style)
            _draw(axes, places[rows], style, _shades(chosen, scale, rows, style), len(fixed["ids"]))
            _name(axes, style, f"{style.name} ({counts[style.letter]:,})", "#1A1A1A" if chosen else style.colour)
    if counts[FAILED.letter]:
        _name(axes, FAILED, f"{FAILED.name}, not on the map ({counts[FAILED.letter]:,})", FAILED.colour)
    if chosen and scale is not None:
        figure.colorbar(scale, ax=axes, shrink=0.6, pad=0.01).set_label(chosen["title"], fontsize=_FONT)
    elif chosen:
        _groups(axes, chosen, places)
    _number_picks(axes, changing, places)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{fixed['title']}: t-SNE of the images", fontsize=_FONT, loc="left", parse_math=False)
    legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, fontsize=_FONT, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _rows(fixed: dict[str, Any], states: str, style: Style) -> NDArray[np.intp]:
    """Positions of the images that get this mark; the pool's mark stands below all others of the pool."""
    if style is SOURCE:
        return np.arange(fixed["pool"], len(fixed["ids"]))
    hidden = (SKIPPED.letter, FAILED.letter)
    marked = [s == style.letter or (style is POOL and s not in hidden) for s in states]
    return np.flatnonzero(np.array(marked, dtype=bool))


def _scale(chosen: dict[str, Any] | None) -> ScalarMappable | None:
    """From numbers to colours, one scale for all states; None unless numbers are shown."""
    if chosen is None or "values" not in chosen:
        return None
    known = [value for value in chosen["values"] if value is not None]
    return ScalarMappable(Normalize(min(known), max(known)), "viridis_r" if chosen["reversed"] else "viridis")


def _shades(
    chosen: dict[str, Any] | None, scale: ScalarMappable | None, rows: NDArray[np.intp], style: Style
) -> str | list[Any]:
    """One colour, or one for each row."""
    if chosen is None:
        return style.colour
    if scale is not None:
        values = [chosen["values"][row] for row in rows]
        return [OTHERS if value is None else scale.to_rgba(value) for value in values]
    groups = [chosen["numbers"][row] for row in rows]
    return [OTHERS if group is None else chosen["shades"][group] for group in groups]


def _draw(axes: Axes, places: NDArray[np.float64], style: Style, shades: str | list[Any], count: int) -> None:
    """The marks of one state."""
    size = (0.42 * style.size) ** 2 * (0.35 if count > MANY and style in (POOL, SOURCE) else 1.0)
    look: dict[str, Any] = {"s": size, "marker": style.marker, "linewidths": 0.5, "rasterized": True}
    axes.scatter(places[:, 0], places[:, 1], **_paint(style, shades), **look)


def _paint(style: Style, colour: Any) -> dict[str, Any]:
    """The arguments by which matplotlib gives a mark its colour, or each mark its own."""
    if style.marker == "x":
        return {"color": colour}
    return {"facecolors": "none" if style.open else colour, "edgecolors": colour if style.open else "#1A1A1A"}


def _name(axes: Axes, style: Style, label: str, colour: str) -> None:
    """An entry of the legend."""
    size = (0.42 * style.size) ** 2
    axes.scatter([], [], s=size, marker=style.marker, linewidths=0.5, label=label, **_paint(style, colour))


def _groups(axes: Axes, chosen: dict[str, Any], places: NDArray[np.float64]) -> None:
    """The names of groups at their middles, or in the legend."""
    numbers = np.array([-1 if number is None else number for number in chosen["numbers"]])
    for number, name in enumerate(chosen["names"]):
        rows = np.flatnonzero(numbers == number)
        middle = np.nanmedian(places[rows], axis=0) if len(rows) else (np.nan, np.nan)
        if chosen["centred"] and np.isfinite(middle).all():
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": chosen["shades"][number], "lw": 0.6}
            axes.annotate(name, middle, ha="center", va="center", fontsize=_FONT, bbox=box, parse_math=False, zorder=8)
        if not chosen["centred"] or len(chosen["names"]) <= len(PALETTE):
            label = f"{chosen['title']} {name} ({len(rows):,})"
            axes.scatter([], [], s=18, marker="o", c=chosen["shades"][number], label=label)


def _number_picks(axes: Axes, changing: dict[str, Any], places: NDArray[np.float64]) -> None:
    """The place in the pick order beside each pick."""
    marked = (PICKED.letter, LABELLED.letter)
    for number, row in enumerate(changing["order"][: changing["now"]][:_NUMBERED], start=1):
        if changing["states"][row] in marked and np.isfinite(places[row]).all():
            axes.annotate(str(number), places[row], xytext=(3.5, 3.5), textcoords="offset points",
                          fontsize=_FONT_SMALL, zorder=9)  # fmt: skip
