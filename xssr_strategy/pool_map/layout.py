"""Where each image lies on the map: t-SNE of the pool and the source together, kept in the embedding store.

t-SNE takes a minute for ten thousand images. So a few new images are put beside their nearest neighbour and the rest
stays where people have learnt to find it; only when more than a tenth is new everything is laid out anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.pool.cold_start_plan import ColdStartPlan
from xssr_strategy.selection.reduction import COMPONENTS, PLANE, principal_components, t_sne
from xssr_strategy.settings import Settings

JOINING = 0.1
"""Share of all images that may be put beside their neighbours before all are laid out anew; our choice."""

_BESIDE = 0.006  # distance to the neighbour, as a share of the map's width, so that both dots are seen (our choice)
_BLOCK = 256  # images whose distances to all others are held in memory at once
_NOTE, _KEY_NOTE = "map", "map key"
_FORMAT = 1  # of the note; another one counts as no note

Name = tuple[str, str]
"""Domain and id of an image."""


@dataclass(frozen=True)
class MapLayout:
    """The places of all images that have a vector.

    Attributes:
        key: changes whenever anything here does.
        made_from: digest of encoder, seed and settings.
        images: (domain, id), sorted; N of them.
        states: digest of the file of each image that was embedded.
        joined: (N,) True for images put beside a neighbour.
        places: (N, 2) in units of the map's half width: within about [-1, 1].
    """

    key: str
    made_from: str
    images: tuple[Name, ...]
    states: tuple[str, ...]
    joined: NDArray[np.bool_]
    places: NDArray[np.float64]


def read_layout(store: EmbeddingStore) -> MapLayout | None:
    """The layout last made, or None."""
    note = store.read_note(_NOTE)
    if note is None or note["format"] != _FORMAT:
        return None
    return MapLayout(
        key=note["key"],
        made_from=note["made_from"],
        images=tuple((domain, image) for domain in (SOURCE, TARGET) for image in note[domain]),
        states=tuple(note["states"]),
        joined=np.array(note["joined"], dtype=bool),
        places=np.array([note["x"], note["y"]], dtype=np.float64).T.reshape(-1, PLANE),
    )


def layout_key(store: EmbeddingStore) -> str | None:
    """``key`` of the layout last made, which is read in no time."""
    key: str | None = store.read_note(_KEY_NOTE)
    return key


def layout_mark(store: EmbeddingStore) -> str:
    """A value that changes whenever the layout is written."""
    return store.mark(_NOTE)


def is_due(store: EmbeddingStore, encoder: str, target: Collection[str], settings: Settings) -> bool:
    """Whether :func:`update` would change anything; ten thousand images take it some 30 ms."""
    before, states = read_layout(store), _states(store, encoder, target)
    if before is None or before.made_from != _made_from(encoder, settings):
        return True
    return states != dict(zip(before.images, before.states, strict=True))


def update(
    store: EmbeddingStore,
    encoder: str,
    target: Collection[str],
    settings: Settings,
    plan: ColdStartPlan | None = None,
) -> MapLayout:
    """Bring the layout up to date, and keep it.

    Args:
        store: with vectors of ``encoder``.
        target: ids of the images of the pool, skipped ones included; those without a vector have no place.
        settings: for the seed.
        plan: given, its t-SNE of the pool serves where there is no source, so that it is not made twice.
    """
    states, made_from = _states(store, encoder, target), _made_from(encoder, settings)
    before = read_layout(store)
    if before is not None and before.made_from != made_from:
        before = None
    if before is not None and states == dict(zip(before.images, before.states, strict=True)):
        return before
    kept = {} if before is None else _kept(before, states)
    images, vectors = _vectors(store, encoder, states)
    settled = 0 if before is None else sum(not before.joined[row] for row in kept.values())
    if before is None or len(states) - settled > JOINING * len(states):
        known = {} if plan is None else dict(zip(plan.images, plan.plane, strict=True))
        pool_alone = all(domain == TARGET and image in known for domain, image in images)
        plane = np.array([known[image] for _, image in images]) if pool_alone else _plane(vectors, settings.seed)
        joined, places = np.zeros(len(images), dtype=bool), _scaled(plane)
    else:
        joined, places = _joined(images, vectors, before, kept)
    places = np.round(places, 4)
    named = tuple(states.get(name, "") for name in images)  # empty if written since: due again
    key = _digest(repr((made_from, images, named, places.tobytes())))[:16]
    layout = MapLayout(key, made_from, images, named, joined, places)
    _write(store, layout)
    return layout


def _made_from(encoder: str, settings: Settings) -> str:
    return _digest(repr((encoder, settings.seed)))


def _states(store: EmbeddingStore, encoder: str, target: Collection[str]) -> dict[Name, str]:
    """Every image that has a vector, sorted, and a digest of the file that was embedded."""
    wanted = set(target)
    present = {(SOURCE, image): state for image, state in store.fingerprints(SOURCE, encoder).items()}
    present |= {(TARGET, i): state for i, state in store.fingerprints(TARGET, encoder).items() if i in wanted}
    return {name: _digest(state)[:8] for name, state in sorted(present.items())}


def _kept(before: MapLayout, states: dict[Name, str]) -> dict[Name, int]:
    """Images that have not changed -> their row in the layout before."""
    rows = zip(before.images, before.states, strict=True)
    return {name: row for row, (name, state) in enumerate(rows) if states.get(name) == state}


def _vectors(
    store: EmbeddingStore, encoder: str, states: dict[Name, str]
) -> tuple[tuple[Name, ...], NDArray[np.float64]]:
    """The images, source first, and their standardised vectors (N, D)."""
    known, source = store.vectors(SOURCE, encoder)
    images, target = store.vectors(TARGET, encoder, [image for domain, image in states if domain == TARGET])
    if not images:
        return (), np.zeros((0, 0))
    ours, theirs = standardise(target, source if known else None)
    names = (*((SOURCE, image) for image in known), *((TARGET, image) for image in images))
    return names, ours if theirs is None else np.concatenate([theirs, ours])


def _plane(vectors: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    return t_sne(vectors if vectors.shape[1] <= COMPONENTS else principal_components(vectors), seed)


def _scaled(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) places with the map's middle at 0, its longer side 2 long."""
    if not len(plane):
        return np.zeros((0, PLANE))
    centred = plane - (plane.min(axis=0) + plane.max(axis=0)) / 2
    return np.asarray(centred / max(np.abs(centred).max(), 1e-12))


def _joined(
    images: tuple[Name, ...], vectors: NDArray[np.float64], before: MapLayout, kept: dict[Name, int]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which images stand beside a neighbour, and the places: what is known stays, what is gone leaves its gap."""
    old = np.array([name in kept for name in images], dtype=bool)
    rows = [kept[name] for name in images if name in kept]
    joined, places = ~old, np.zeros((len(images), PLANE))
    places[old], joined[old] = before.places[rows], before.joined[rows]
    new = np.flatnonzero(~old)
    if len(new):
        turns = np.array([int(_digest(repr(images[row]))[:4], 16) for row in new]) * (2.0 * np.pi / 65536.0)
        beside = _BESIDE * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        places[new] = places[old][_nearest(vectors[new], vectors[old])] + beside
    return joined, places


def _nearest(vectors: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.intp]:
    """Row of ``others`` nearest to each of ``vectors``."""
    rows = [cdist(vectors[i : i + _BLOCK], others).argmin(axis=1) for i in range(0, len(vectors), _BLOCK)]
    return np.concatenate(rows)


def _write(store: EmbeddingStore, layout: MapLayout) -> None:
    store.note(_KEY_NOTE, layout.key)
    by_domain = {domain: [image for where, image in layout.images if where == domain] for domain in (SOURCE, TARGET)}
    store.note(
        _NOTE,
        {
            "format": _FORMAT,
            "key": layout.key,
            "made_from": layout.made_from,
            **by_domain,
            "states": layout.states,
            "joined": layout.joined.astype(int).tolist(),
            "x": layout.places[:, 0].tolist(),
            "y": layout.places[:, 1].tolist(),
        },
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
