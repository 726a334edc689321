"""What the dots of the map can be coloured by, beside their state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xssr_strategy.embedding.store import TARGET
from xssr_strategy.pool_map.layout import Name

# Okabe and Ito's, told apart by the common kinds of colour blindness, without yellow, which is lost on white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#1A1A1A")
OTHERS = "#B0B0B0"
"""What has no value, or belongs to a site past the palette."""

SCALE = "Viridis"
"""Of numbers: plotly's name. The colour-blind can read it, grey paper keeps its order, and no grey is in it."""

STATE, CLUSTER, SITE, ENTROPY, QUALITY, DICE = "state", "cluster", "site", "entropy", "quality", "dice"
_MEASURES = {ENTROPY: "entropy (nats)", QUALITY: "quality of the mask (0 to 1)", DICE: "Dice (0 to 1)"}
CHOICES = (STATE, CLUSTER, SITE, *_MEASURES)


@dataclass(frozen=True)
class Groups:
    """Every image belongs to one of a few groups, or to none.

    Attributes:
        key: one of ``CHOICES``.
        title: for people.
        names: of the groups.
        numbers: group of each image, None of an image of no group.
        centred: groups lie together, so each is called by its name at its middle; colours may then repeat.
    """

    key: str
    title: str
    names: tuple[str, ...]
    numbers: tuple[int | None, ...]
    centred: bool = False


@dataclass(frozen=True)
class Values:
    """Every image has a number, or None; ``title`` with its unit is what the colour bar says.

    ``key`` is one of ``CHOICES``. The end that matters is dark, for the other is pale on white: with ``dark_high`` the
    large values.
    """

    key: str
    title: str
    values: tuple[float | None, ...]
    dark_high: bool = False


Colour = Groups | Values


def colours(
    images: Sequence[Name],
    clusters: Mapping[str, int],
    sites: Mapping[Name, str],
    measured: Mapping[str, Mapping[str, float]],
) -> tuple[Colour, ...]:
    """Those for which there is data; a single cluster or site tells nothing apart and is none.

    Args:
        images: of the map.
        clusters: target image -> number of its cluster, from 0, as of a cold start.
        sites: (domain, id) -> hospital or scanner.
        measured: ``ENTROPY``, ``QUALITY`` or ``DICE`` -> (target image -> mean entropy of its segmentation in nats,
            quality of its automatic mask, or Dice of its segmentation, the last two 0 to 1).
    """
    found: list[Colour | None] = [_clusters(images, clusters), _sites(images, sites)]
    for key, title in _MEASURES.items():
        found.append(_values(key, title, images, measured.get(key, {}), dark_high=key == ENTROPY))
    return tuple(one for one in found if one is not None)


def as_json(colour: Colour) -> dict[str, Any]:
    """What the page wants to know."""
    if isinstance(colour, Values):
        return {"key": colour.key, "title": colour.title, "values": colour.values, "reversed": colour.dark_high}
    shades = [
        PALETTE[number % len(PALETTE)] if colour.centred else shade(number) for number in range(len(colour.names))
    ]
    return {
        "key": colour.key,
        "title": colour.title,
        "names": colour.names,
        "numbers": colour.numbers,
        "shades": shades,
        "centred": colour.centred,
    }


def shade(number: int) -> str:
    """Colour of a group that its colour alone tells apart."""
    return PALETTE[number] if number < len(PALETTE) else OTHERS


def _clusters(images: Sequence[Name], clusters: Mapping[str, int]) -> Groups | None:
    numbers = tuple(clusters.get(image) if domain == TARGET else None for domain, image in images)
    if len({*numbers} - {None}) < 2:
        return None
    names = tuple(str(number + 1) for number in range(max(clusters.values()) + 1))
    return Groups(CLUSTER, "cluster", names, numbers, centred=True)


def _sites(images: Sequence[Name], sites: Mapping[Name, str]) -> Groups | None:
    counts = Counter(sites[name] for name in images if name in sites)
    if len(counts) < 2:
        return None
    names = tuple(sorted(counts, key=lambda site: (-counts[site], site)))
    if len(names) > len(PALETTE) + 1:
        names = (*names[: len(PALETTE)], f"{len(names) - len(PALETTE)} other sites")
    place = {site: number for number, site in enumerate(names)}
    last = len(names) - 1
    numbers = tuple(place.get(sites[name], last) if name in sites else None for name in images)
    return Groups(SITE, "site", names, numbers)


def _values(
    key: str, title: str, images: Sequence[Name], known: Mapping[str, float], dark_high: bool = False
) -> Values | None:
    values = tuple(known.get(image) if domain == TARGET else None for domain, image in images)
    if all(value is None for value in values):
        return None
    rounded = tuple(None if value is None else float(f"{value:.4g}") for value in values)
    return Values(key, title, rounded, dark_high)
