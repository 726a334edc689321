"""What an image of the map is to the people who annotate: the states, and how each is drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from xssr_strategy.pool.ranking import Ranking


@dataclass(frozen=True)
class Style:
    """How a state is drawn; each has a form of its own, so that grey paper and colour-blind readers lose nothing.

    Attributes:
        letter: stands for the state in the page's data.
        name: for people.
        symbol: plotly's name of the form.
        marker: matplotlib's.
        colour: one of Okabe and Ito's palette, or grey.
        size: in pixels on the page.
        open: drawn as an outline.
    """

    letter: str
    name: str
    symbol: str
    marker: str
    colour: str
    size: float
    open: bool = False


SOURCE = Style("s", "source", "x-thin-open", "x", "#B87A00", 5, True)
POOL = Style("p", "pool", "circle-open", "o", "#6E6E6E", 6, True)
SKIPPED = Style("k", "skipped", "triangle-down-open", "v", "#6E6E6E", 8, True)
FAILED = Style("f", "failed", "square-x-open", "s", "#1A1A1A", 9, True)
LABELLED = Style("l", "labelled", "circle", "o", "#D55E00", 10)
LEASED = Style("e", "leased", "diamond", "D", "#009E73", 11)
PICKED = Style("n", "picked", "star", "*", "#0072B2", 14)

STYLES = (SOURCE, POOL, SKIPPED, FAILED, LABELLED, LEASED, PICKED)
"""In the order in which they are drawn, the last on top."""


@dataclass(frozen=True)
class PoolState:
    """What changes while people annotate.

    Attributes:
        labelled: ids in the order in which they were labelled.
        leased: id -> end of the lease (s since the epoch), in the order in which they were handed out.
        skipped, failed: id -> reason.
        ranking: the worklist, if there is one.
    """

    labelled: tuple[str, ...] = ()
    leased: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    ranking: Ranking | None = None


@dataclass(frozen=True)
class PickOrder:
    """The images in the order in which they are annotated.

    Attributes:
        images: labelled ones, then leased ones, then the worklist.
        now: how many of these are labelled, leased or within the budget.
        coverage: mean coverage by the first 1, 2, ... of ``images``, None where it is not known.
    """

    images: tuple[str, ...]
    now: int
    coverage: tuple[float | None, ...]


def pick_order(pool: Collection[str], state: PoolState) -> PickOrder:
    """The images of the pool that are labelled, leased, or next on the worklist; failed and skipped ones are not."""
    present = set(pool)
    closed = state.skipped.keys() | state.failed.keys()
    labelled = [image for image in state.labelled if image in present]
    leased = [image for image in state.leased if image in present and image not in {*labelled, *closed}]
    begun = [*labelled, *leased]
    picks, left = [], 0
    if state.ranking is not None:
        taken = {*begun, *closed}
        picks = [one.image for one in state.ranking.picks if one.image in present and one.image not in taken]
        left = max(0, state.ranking.budget - len({*begun} - state.ranking.labelled))
    order = (*begun, *picks)
    return PickOrder(order, min(len(order), len(begun) + left), _coverage(order, state.ranking))


def _coverage(order: tuple[str, ...], ranking: Ranking | None) -> tuple[float | None, ...]:
    """Known wherever the first n images are those that the ranking had labelled and its first picks, in any order."""
    if ranking is None:
        return (None,) * len(order)
    coverage: list[float | None] = []
    expected = iter(pick.image for pick in ranking.picks)
    missing, extra = set(ranking.labelled), set()
    for number, image in enumerate(order, start=1):
        if number > len(ranking.labelled) and (pick := next(expected, None)) is not None:
            if pick in extra:
                extra.discard(pick)
            else:
                missing.add(pick)
        if image in missing:
            missing.discard(image)
        else:
            extra.add(image)
        place = number - len(ranking.labelled) - 1
        known = not missing and not extra and 0 <= place < len(ranking.coverage)
        coverage.append(ranking.coverage[place] if known else None)
    return tuple(coverage)


def letters(pool: Collection[str], state: PoolState, order: PickOrder) -> str:
    """The state of each image of the pool, as one letter each."""
    found = dict.fromkeys(order.images[: order.now], PICKED.letter)
    found |= dict.fromkeys(state.leased, LEASED.letter)
    found |= dict.fromkeys(state.failed, FAILED.letter)
    found |= dict.fromkeys(state.skipped, SKIPPED.letter)
    found |= dict.fromkeys(state.labelled, LABELLED.letter)
    return "".join(found.get(image, POOL.letter) for image in pool)
