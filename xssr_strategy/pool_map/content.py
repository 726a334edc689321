"""What the map shows, as plain values that JSON can hold: one part that stays, and one that follows the annotators."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.pool.ranking import Ranking, reason
from xssr_strategy.pool_map.colours import OTHERS, SCALE, Colour, as_json
from xssr_strategy.pool_map.layout import MapLayout, Name
from xssr_strategy.pool_map.states import STYLES, PoolState, letters, pick_order


@dataclass(frozen=True)
class MapContent:
    """The map of a pool.

    Attributes:
        fixed: ``title``, ``ids`` (the pool first, then the source), ``pool`` (how many of them are the pool's), ``x``
            and ``y`` (None without a place), ``colours``, ``styles``, ``version``; ``patients`` (a number for each
            image of the pool, never a name), if they are asked for.
        changing: ``states`` (a letter for each image of the pool), ``order`` (positions in ``ids``), ``now`` and
            ``coverage`` (see ``PickOrder``), ``terms`` (position -> rank, score, density, novelty, diversity, reason),
            ``notes`` (position -> what else is to be known), ``summary``, ``version``.
    """

    fixed: dict[str, Any]
    changing: dict[str, Any]

    def whole(self) -> dict[str, Any]:
        """Both parts in one."""
        return {"fixed": self.fixed, "changing": self.changing}


def images_of(pool: Collection[str], layout: MapLayout | None) -> tuple[Name, ...]:
    """The images of the map: the pool's, sorted, and then those of the source."""
    source = () if layout is None else tuple(name for name in layout.images if name[0] == SOURCE)
    return (*((TARGET, image) for image in sorted(pool)), *source)


def fixed_part(
    title: str,
    images: Sequence[Name],
    layout: MapLayout | None,
    colours: Sequence[Colour],
    patients: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What stays while people annotate.

    Args:
        title: names the pool.
        images: of :func:`images_of`.
        layout: places; images that it does not hold have none.
        patients: image of the pool -> patient; one that is not there is a patient of its own.
    """
    places = {} if layout is None else dict(zip(layout.images, layout.places.tolist(), strict=True))
    found = [places.get(name) for name in images]
    content = {
        "title": title,
        "ids": [image for _, image in images],
        "pool": sum(domain == TARGET for domain, _ in images),
        "x": [None if place is None else place[0] for place in found],
        "y": [None if place is None else place[1] for place in found],
        "colours": [as_json(colour) for colour in colours],
        "styles": [
            {"letter": s.letter, "name": s.name, "symbol": s.symbol, "colour": s.colour, "size": s.size, "open": s.open}
            for s in STYLES
        ],
        "others": OTHERS,
        "scale": SCALE,
    }
    if patients is not None:
        of_whom = [patients.get(image, image) for domain, image in images if domain == TARGET]
        numbers = {patient: number for number, patient in enumerate(dict.fromkeys(of_whom))}
        content["patients"] = [numbers[patient] for patient in of_whom]
    return {**content, "version": _digest(content)}


def changing_part(fixed: dict[str, Any], state: PoolState) -> dict[str, Any]:
    """What follows the annotators; ``version`` differs whenever anything here or in ``fixed`` does."""
    pool = fixed["ids"][: fixed["pool"]]
    place = {image: number for number, image in enumerate(pool)}
    order = pick_order(pool, state)
    states = letters(pool, state, order)
    content = {
        "states": states,
        "order": [place[image] for image in order.images],
        "now": order.now,
        "coverage": [None if value is None else round(value, 4) for value in order.coverage],
        "terms": _terms(place, state.ranking),
        "notes": _notes(place, fixed, state),
        "summary": _summary(states, len(fixed["ids"]) - len(pool)),
        "advice": "" if state.ranking is None else state.ranking.advice,
    }
    return {**content, "version": f"{fixed['version']}.{_digest(content)}"}


def _terms(place: dict[str, int], ranking: Ranking | None) -> dict[str, list[Any]]:
    picks = () if ranking is None else ranking.picks
    return {
        str(place[pick.image]): [
            pick.rank,
            *(round(value, 3) for value in (pick.score, pick.density, pick.novelty, pick.diversity)),
            reason(pick, ranking),
        ]
        for pick in picks
        if ranking is not None and pick.image in place
    }


def _notes(place: dict[str, int], fixed: dict[str, Any], state: PoolState) -> dict[str, str]:
    notes = {number: "not embedded yet" for number in place.values() if fixed["x"][number] is None}
    for image, ends in state.leased.items():
        if image in place and image not in state.labelled:
            notes[place[image]] = f"with an annotator until {time.strftime('%H:%M', time.localtime(ends))}"
    for reasons in (state.failed, state.skipped):
        notes |= {place[image]: why for image, why in reasons.items() if image in place}
    return {str(number): note for number, note in sorted(notes.items())}


def _summary(states: str, source: int) -> str:
    """One sentence with the counts, for those who cannot see the dots."""
    counts = [(states.count(style.letter), style.name) for style in reversed(STYLES)]
    parts = [f"{count:,} {'waiting' if name == 'pool' else name}" for count, name in counts if count]
    images = "1 image" if len(states) == 1 else f"{len(states):,} images"
    beside = f"; {source:,} source image{'s' * (source != 1)}" if source else ""
    return f"{images}: {', '.join(parts) or 'none'}{beside}."


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
