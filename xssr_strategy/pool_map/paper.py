"""The map as a picture for print, without a browser: forms that suffice in grey, 300 dots per inch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.pool_map.colours import OTHERS, PALETTE
from xssr_strategy.pool_map.content import MapContent
from xssr_strategy.pool_map.page import MANY
from xssr_strategy.pool_map.scatter import Badge, Mark, add_legend, blank_figure, draw_points, name_mark, number_points
from xssr_strategy.pool_map.states import FAILED, LABELLED, PICKED, POOL, SKIPPED, SOURCE, STYLES, Style

DPI = 300
SIZE = (7.0, 5.6)
"""Inches: as wide as the text of a page."""

_NUMBERED = 30  # picks that get their number in the pick order at most (our choice)
_FONT = 8.5
_NUMBER = Badge("", "#1A1A1A", False, 8.0, 6.5, "")


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
    figure = blank_figure(SIZE, DPI)
    axes = figure.add_subplot()
    places = np.array([fixed["x"], fixed["y"]], dtype=np.float64).T.reshape(-1, 2)
    counts = Counter(changing["states"]) | Counter({SOURCE.letter: len(fixed["ids"]) - fixed["pool"]})
    scale = _scale(chosen)
    for style in STYLES:
        if counts[style.letter] and style is not FAILED:
            rows = _rows(fixed, changing["states"], style)
            shrink = 0.35 if len(fixed["ids"]) > MANY and style in (POOL, SOURCE) else 1.0
            draw_points(axes, places[rows], _mark(style), shrink, _shades(chosen, scale, rows))
            name_mark(axes, _mark(style, "#1A1A1A" if chosen else None), f"{style.name} ({counts[style.letter]:,})")
    if counts[FAILED.letter]:
        name_mark(axes, _mark(FAILED), f"{FAILED.name}, not on the map ({counts[FAILED.letter]:,})")
    middles: list[NDArray[np.float64]] = []
    if chosen and scale is not None:
        figure.colorbar(scale, ax=axes, shrink=0.6, pad=0.01).set_label(chosen["title"], fontsize=_FONT)
    elif chosen:
        middles = _groups(axes, chosen, places)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{fixed['title']}: t-SNE of the images", fontsize=_FONT, loc="left", parse_math=False)
    add_legend(axes, 4, _FONT, 1.0)
    picks = _numbered(changing, places)
    points = places[list(picks.values())]
    number_points(axes, points, list(picks), [_NUMBER] * len(picks), places[np.isfinite(places).all(axis=1)],
                  taken=np.array(middles).reshape(-1, 2))  # fmt: skip
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


def _shades(chosen: dict[str, Any] | None, scale: ScalarMappable | None, rows: NDArray[np.intp]) -> list[Any] | None:
    """A colour for each row, or None where the state's own is shown."""
    if chosen is None:
        return None
    if scale is not None:
        values = [chosen["values"][row] for row in rows]
        return [OTHERS if value is None else scale.to_rgba(value) for value in values]
    groups = [chosen["numbers"][row] for row in rows]
    return [OTHERS if group is None else chosen["shades"][group] for group in groups]


def _mark(style: Style, colour: str | None = None) -> Mark:
    """The mark of a state, in ``colour`` if there is one."""
    colour, size = colour or style.colour, (0.42 * style.size) ** 2
    if style.marker == "x" or not style.open:
        return Mark(style.marker, colour, "#1A1A1A", size, 0.5)
    return Mark(style.marker, "none", colour, size, 0.5)


def _groups(axes: Axes, chosen: dict[str, Any], places: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Write the names of groups at their middles, which are returned, or in the legend."""
    numbers = np.array([-1 if number is None else number for number in chosen["numbers"]])
    middles = []
    for number, name in enumerate(chosen["names"]):
        rows = np.flatnonzero(numbers == number)
        middle = np.nanmedian(places[rows], axis=0) if len(rows) else np.full(2, np.nan)
        if chosen["centred"] and np.isfinite(middle).all():
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": chosen["shades"][number], "lw": 0.6}
            axes.annotate(
                name, tuple(middle), ha="center", va="center", fontsize=_FONT, bbox=box, parse_math=False, zorder=8
            )
            middles.append(middle)
        if not chosen["centred"] or len(chosen["names"]) <= len(PALETTE):
            shade = chosen["shades"][number]
            name_mark(axes, Mark("o", shade, shade, 18.0), f"{chosen['title']} {name} ({len(rows):,})")
    return middles


def _numbered(changing: dict[str, Any], places: NDArray[np.float64]) -> dict[int, int]:
    """Place in the pick order -> row of the images that get their number."""
    marked = (PICKED.letter, LABELLED.letter)
    order = changing["order"][: changing["now"]][:_NUMBERED]
    return {
        number: row
        for number, row in enumerate(order, start=1)
        if changing["states"][row] in marked and np.isfinite(places[row]).all()
    }
