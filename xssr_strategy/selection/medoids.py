"""Typical medoids: the typical images of a pool that leave the others least far from a pick.

A k-medoids objective, the mean distance of the pool to its nearest pick (Kaufman and Rousseeuw 1987), made small by a
greedy start and then by swaps until none helps: FastPAM1's exchange of the best pair (Schubert and Rousseeuw 2021,
doi 10.1016/j.is.2021.101804). The fifth of the pool with the least density, XSSR's term, may not be picked: labels
that are drawn unlike the others are found more often at unusual images. That gate is ours, and nothing here has been
shown to be better than XSSR.

With density as a gate and coverage as the aim there is nothing to calibrate, and novelty has no part.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.clusters import checked_number
from xssr_strategy.selection.core_set import k_centre_greedy
from xssr_strategy.selection.points import TIE, Points
from xssr_strategy.selection.xssr import NEIGHBOURS, density

TYPICAL = 0.8
"""Share of the pool that may be picked."""

_MOST = 4000  # candidates, and points whose distances are summed, at most: evenly spaced ones of a larger pool


class Medoids(Selector):
    """Typical medoids.

    The score of a pick is the share of the pool's mean distance that it removes, in the order of the picks; that order
    is greedy, so that the first few of the picks are the best to stop at. There is one term, ``density``.

    Args:
        typical: share of the pool that may be picked, in (0, 1]; twice the budget where that is more.
        neighbours: k of the density.
        planned: number of picks that are chosen together; the budget itself if None. Lets a ranking that is longer than
            the budget begin with the picks of the budget; the others follow greedily.
    """

    def __init__(self, typical: float = TYPICAL, neighbours: int = NEIGHBOURS, planned: int | None = None) -> None:
        if isinstance(typical, bool) or not isinstance(typical, (int, float)) or not 0.0 < typical <= 1.0:
            raise ValueError(f"typical must be a share above 0 and at most 1, not {typical!r}.")
        self.typical = float(typical)
        self.neighbours = checked_number("neighbours", neighbours, 1)
        self.planned = None if planned is None else checked_number("planned", planned, 1)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        typicality = density(points, self.neighbours)
        free = np.setdiff1d(np.arange(points.size), labeled)
        together = min(budget, self.planned or budget)
        candidates = _most_typical(free, typicality, max(round(self.typical * points.size), 2 * together))
        table = _Distances(points, candidates, labeled)
        together = min(together, len(table.candidates))
        order = table.in_order(table.improved(table.greedy(together)))
        order += table.greedy(min(budget, len(table.candidates)) - together, after=order)
        indices, scores = table.candidates[order], table.scores(order)
        if len(order) < budget:  # the gate leaves no more: the rest is far from what there is
            rest = k_centre_greedy(points, budget - len(order), np.concatenate([labeled, indices]))
            indices = np.concatenate([indices, rest.indices])
            scores = np.concatenate([scores, np.zeros(len(rest.indices))])
        low, high = typicality[free].min(), typicality[free].max()
        scaled = (typicality[indices] - low) / (high - low) if high - low > TIE * high else np.zeros(len(indices))
        return Picks(indices, scores, {"density": scaled})


class _Distances:
    """(C, N) distances from the candidates to the pool, both thinned out evenly where they are many.

    Picks are rows of it, as a list; what is labelled is there from the start.
    """

    def __init__(self, points: Points, candidates: IntArray, labeled: IntArray) -> None:
        self.candidates = _thinned(candidates)
        columns = _thinned(np.arange(points.size))
        vectors = points.rows(slice(None))
        vectors -= vectors.mean(axis=0)
        pool, own = vectors[columns], vectors[self.candidates]
        self._to = _distances(own, pool)
        # Until there is a pick, everything is as far as the triangle inequality allows.
        self._first: FloatArray = np.full(len(columns), 2.0 * np.sqrt(np.square(pool).sum(axis=1).max()))
        for place in labeled:
            np.minimum(self._first, _distances(vectors[[place]], pool)[0], out=self._first)

    def greedy(self, count: int, after: list[int] | None = None) -> list[int]:
        """The next ``count`` picks, each of which lowers the summed distance most."""
        picks = list(after or [])
        nearest = self._nearest(picks)
        for _ in range(count):
            sums = np.minimum(self._to, nearest).sum(axis=1)
            sums[picks] = np.inf
            picks.append(self._least(sums))
            nearest = np.minimum(nearest, self._to[picks[-1]])
        return picks[len(after or []) :]

    def improved(self, picks: list[int]) -> list[int]:
        """Swap a pick for a candidate, the pair that lowers the summed distance most, until none lowers it."""
        picks = list(picks)
        while True:
            sums = self._after_swaps(picks)
            sums[:, picks] = np.inf
            best = sums.min(axis=1)
            old = self._least(best)
            if best[old] >= self._nearest(picks).sum() - TIE * self._first.sum():
                return picks
            picks[old] = self._least(sums[old])

    def in_order(self, picks: list[int]) -> list[int]:
        """The picks, greedily: the one that lowers the summed distance most first."""
        ordered: list[int] = []
        left = sorted(picks)
        nearest = self._first
        while left:
            pick = left.pop(self._least(np.minimum(self._to[left], nearest).sum(axis=1)))
            nearest = np.minimum(nearest, self._to[pick])
            ordered.append(pick)
        return ordered

    def scores(self, picks: list[int]) -> FloatArray:
        """By which share each pick lowers the sum that there was at first."""
        sums = [self._first.sum(), *np.minimum.accumulate(np.vstack([self._first, self._to[picks]]))[1:].sum(axis=1)]
        return -np.diff(np.asarray(sums)) / max(float(sums[0]), np.finfo(float).tiny)

    def _nearest(self, picks: list[int]) -> FloatArray:
        nearest: FloatArray = self._to[picks].min(axis=0, initial=np.inf) if picks else self._first
        return np.minimum(nearest, self._first)

    def _after_swaps(self, picks: list[int]) -> FloatArray:
        """(B, C) summed distance after pick b has given way to candidate c, as FastPAM1 finds all at once."""
        among = np.vstack([self._first, self._to[picks]])
        owner = among.argmin(axis=0)
        nearest, second = np.partition(among, 1, axis=0)[:2]
        with_it = np.minimum(self._to, nearest)  # nobody gives way
        lost = np.minimum(self._to, second) - with_it  # more, if the owner does
        owned = owner[:, None] == np.arange(1, len(among))
        summed: FloatArray = (lost @ owned.astype(np.float64)).T + with_it.sum(axis=1)
        return summed

    def _least(self, sums: FloatArray) -> int:
        """The first of the least; sums closer than rounding are ties."""
        return int(np.argmax(sums <= sums.min() + TIE * self._first.sum()))


def _most_typical(places: IntArray, typicality: FloatArray, count: int) -> IntArray:
    """The ``count`` places with the largest density, ascending; ties go to the first in canonical order."""
    ranked = places[np.argsort(-typicality[places], kind="stable")]
    return np.sort(ranked[:count])


def _thinned(places: IntArray) -> IntArray:
    """At most ``_MOST`` of the places, evenly spaced in canonical order."""
    return places[:: max(1, math.ceil(len(places) / _MOST))]


def _distances(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> FloatArray:
    squared = np.square(rows).sum(axis=1)[:, None] + np.square(columns).sum(axis=1) - 2.0 * (rows @ columns.T)
    distances: FloatArray = np.sqrt(np.maximum(squared, 0.0))
    return distances
