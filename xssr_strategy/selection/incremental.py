"""XSSR one pick at a time: the next image while others are labelled, leased and given back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.by_group import candidates_of
from xssr_strategy.selection.checks import Rows, checked_rows, whole_number
from xssr_strategy.selection.greedy import LockStep, Rule, terms_of
from xssr_strategy.selection.points import Points


@dataclass(frozen=True)
class Candidate:
    """The image to annotate next.

    Attributes:
        index: row of ``target``.
        score: with which it won.
        density, novelty, diversity: terms in [0, 1], as they entered the score.
    """

    index: int
    score: float
    density: float
    novelty: float
    diversity: float


class IncrementalSelection:
    """The state of a selection whose picks are decided elsewhere; made by :meth:`XSSR.begin`.

    At any time :meth:`find` answers as a fresh ``XSSR(alpha).select(target, 1, source, labeled)`` would, with all rows
    taken so far as ``labeled``. A taken row costs one row of distances; rows given back cost the distances to all
    that are still taken. With groups (:mod:`xssr_strategy.selection.by_group`) every answer costs the distances to all
    that are taken. When target or source change, density and novelty do too: begin anew.

    >>> from xssr_strategy.selection import XSSR
    >>> selection = XSSR(alpha=0.5).begin([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]])
    >>> selection.update([1, 4])  # labelled or leased
    >>> selection.find().index
    6
    >>> selection.update([1])  # the lease of row 4 ended
    >>> selection.find().index
    4
    >>> tuple(round(distance, 2) for distance in selection.coverage())  # mean and largest distance to row 1
    (8.71, 29.0)
    """

    def __init__(
        self, points: Points, rule: Rule, alpha: float, taken: IntArray, groups: IntArray | None = None
    ) -> None:
        self._points, self._rule, self._alpha, self._groups = points, rule, np.array([alpha]), groups
        self._place = np.empty_like(points.order)
        self._place[points.order] = np.arange(points.size)
        self._restart(taken)

    @property
    def taken(self) -> frozenset[int]:
        """Rows of ``target`` that are labelled or leased."""
        return frozenset(self._taken)

    def find(self) -> Candidate | None:
        """The next pick, which is not taken by this; None if every row is taken."""
        if len(self._taken) == self._points.size:
            return None
        steps = self._steps if self._groups is None else self._of_fewest(self._groups)
        (place,), facts = steps.find()
        terms = terms_of(facts[None, :, :, 0])
        density, novelty, diversity = map(float, terms[0])
        score = float(steps.score(0, terms)[0])
        return Candidate(int(self._points.order[place]), score, density, novelty, diversity)

    def take(self, row: int) -> None:
        """Count a row of ``target`` as picked: it was labelled or leased.

        Raises:
            ValueError: no row of ``target``, or taken already.
        """
        row = whole_number("row", row)
        if not 0 <= row < self._points.size or row in self._taken:
            raise ValueError(f"row {row} is taken already or not one of the {self._points.size} rows of target.")
        self._taken.add(row)
        self._steps.take(self._place[[row]])

    def update(self, taken: Rows) -> None:
        """Count exactly these rows of ``target`` as picked: their numbers, or a boolean mask.

        Raises:
            ValueError: they are no rows of ``target``.
        """
        wanted = checked_rows("taken", taken, self._points.size)
        if self._taken <= set(wanted.tolist()):
            for row in np.setdiff1d(wanted, sorted(self._taken)).tolist():
                self.take(row)
        else:  # leases ran out, or labels were deleted
            self._restart(np.sort(self._place[wanted]))

    def coverage(self) -> tuple[float, float]:
        """Mean and largest distance of the pool to the nearest taken row; infinite while none is taken."""
        self._steps.nearest.catch_up()
        distances = self._steps.nearest.distances(0)
        return float(distances.mean()), float(distances.max())

    def _of_fewest(self, groups: IntArray) -> LockStep:
        """The selection among the images of the groups of which the fewest are taken."""
        taken = np.sort(self._place[sorted(self._taken)])
        return LockStep(self._points, self._rule, self._alpha, taken, candidates_of(groups, taken)[1])

    def _restart(self, taken: IntArray) -> None:
        self._taken = set(self._points.order[taken].tolist())
        self._steps = LockStep(self._points, self._rule, self._alpha, taken)
