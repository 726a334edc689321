"""The greedy rule of XSSR for several alphas in lock-step; see ``xssr_strategy.selection.xssr`` for the formulas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks
from xssr_strategy.selection.distance_range import DistanceRange
from xssr_strategy.selection.nearest import KEPT, NearestPick
from xssr_strategy.selection.points import TIE, Points
from xssr_strategy.selection.term import Term

Combination = Literal["product", "sum"]

TERMS = ("density", "novelty", "diversity")

_NONE = np.array([], dtype=np.intp)
_AHEAD = 12  # likely picks of each run whose distances are computed beforehand
_ROUNDING = 16.0 * 2.0**-24  # of the float32 arithmetic on two scores, which are of size 1


@dataclass(frozen=True)
class Rule:
    """The terms of a pool and how they are combined.

    Attributes:
        density, novelty: (N,) unscaled, 1 / distance and distance; None if switched off.
        diversity: whether it counts.
        combination: of density with the others.
    """

    density: FloatArray | None
    novelty: FloatArray | None
    diversity: bool
    combination: Combination

    def parts(
        self, alpha: FloatArray | float, density: FloatArray, novelty: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Factor and addend of the score, factor * (addend + weight of diversity * diversity), from scaled terms."""
        trade_off = alpha * novelty
        if self.combination == "sum":
            return np.ones_like(density), density + trade_off
        if self.novelty is None and not self.diversity:
            trade_off = np.ones_like(density)
        return (np.ones_like(density) if self.density is None else density), trade_off

    @property
    def has_trade_off(self) -> bool:
        """Whether alpha means anything: both novelty and diversity count."""
        return self.novelty is not None and self.diversity

    def in_order(self, order: IntArray) -> Rule:
        """The rule for the points in another order: value i is that of point ``order[i]`` here."""
        density, novelty = (None if values is None else values[order] for values in (self.density, self.novelty))
        return replace(self, density=density, novelty=novelty)

    def alpha(self, wanted: float) -> float:
        """alpha in force: a term that is off leaves its weight to the other."""
        if self.has_trade_off:
            return wanted
        return 0.0 if self.diversity else 1.0


class LockStep:
    """R selections that advance together, one alpha each: one pass over the vectors per pick.

    float32 scores find the best point of each run and tell where it is not certain; there float64 decides.

    Args:
        points: the pool.
        rule: terms and combination.
        alphas: (R,) in [0, 1].
        labeled: places that count as picked already.
        closed: places that are not picked and cannot be, for now.
    """

    def __init__(
        self, points: Points, rule: Rule, alphas: FloatArray, labeled: IntArray, closed: IntArray = _NONE
    ) -> None:
        runs = len(alphas)
        self.points, self.rule, self.alphas, self._every = points, rule, alphas, np.arange(runs)
        self.nearest = NearestPick(points, runs, labeled)
        self._ends = DistanceRange(self.nearest)
        constant, barred = np.zeros(points.size), np.concatenate([labeled, closed])
        self._density = Term(constant if rule.density is None else rule.density, runs, barred)
        self._novelty = Term(constant if rule.novelty is None else rule.novelty, runs, barred)
        self._weight = 1.0 - alphas if rule.diversity else np.zeros(runs)  # of diversity
        self._begun = len(labeled) > 0
        self._ahead = 0  # likely picks whose distances are computed beforehand
        self._taken: list[tuple[IntArray, FloatArray]] = []  # places (R,) and facts (3, 3, R) of every step
        # The score is factor * (addend + scale * (distance - low)), with the addend minus infinity where a point is not
        # free. It is kept divided by the scale, factor * (offset + distance): offset and factor seldom change.
        full, shape = points.backend.full, (runs, points.size)
        self._factor, self._addend = full(shape, 1.0), full(shape, 0.0)
        self._offset, self._score = full(shape, 0.0), full(shape, 0.0)
        self._used, self._divisor = self._weight > 0.0, np.ones(runs)  # whether distances count, and 1 / scale
        self._tolerance = np.full(runs, _ROUNDING)  # how far off the difference of two scores can be
        self._stale = np.ones(runs, dtype=bool)  # runs whose offset does not hold any more
        self._addend[:, barred] = -np.inf
        for run in range(runs):
            self._scale_terms(run)

    def run(self, budget: int) -> None:
        """Pick ``budget`` points in every run."""
        room, runs = min(self.points.size, KEPT // (8 * self.points.size)), len(self.alphas)
        for step in range(budget):
            self._ahead = min(room, runs * min(_AHEAD, budget - step))
            self.advance()
        self._ahead = 0
        self.nearest.catch_up()

    def advance(self) -> IntArray:
        """Pick the best point of every run: (R,) places."""
        best, facts = self.find()
        self._taken.append((best, facts))
        self.take(best)
        return best

    def find(self) -> tuple[IntArray, FloatArray]:
        """The best point of every run: (R,) places, and (3, 3, R) facts from which :func:`terms_of` has its terms."""
        xp, numpy, every = self.points.backend.xp, self.points.backend.numpy, self._every
        tolerance = self._update_scores()
        best = numpy(xp.argmax(self._score, 1)).copy()
        top = numpy(self._score[every, best])
        self._score[every, best] = -np.inf
        lead = top - numpy(xp.amax(self._score, 1))
        low, span = np.zeros(len(every)), np.ones(len(every))
        if self._begun:
            low, span = self._ends.low.copy(), self._ends.high - self._ends.low
        exact = {}
        for run in (lead <= tolerance).nonzero()[0]:
            self._score[run, best[run]] = float(top[run])
            best[run], exact[run] = self._decide(int(run), float(top[run] - tolerance[run]))
        distance = numpy(self.nearest.distance[every, best]).astype(np.float64)
        for run, diversity in exact.items():  # on a scale from 0 to 1 already
            distance[run], low[run], span[run] = diversity, 0.0, 1.0
        density, novelty = self._density, self._novelty
        values = [density.values[best], novelty.values[best], distance]
        return best, np.array([values, [density.low, novelty.low, low], [density.span, novelty.span, span]])

    def take(self, places: IntArray) -> None:
        """One more pick (R,) for every run."""
        self.close(places)
        self.nearest.add(places[:, None])
        self._begun = True

    def close(self, places: IntArray) -> None:
        """One point (R,) of every run cannot be picked any more."""
        every = self._every
        self._factor[every, places] = 1.0
        self._addend[every, places] = self._offset[every, places] = -np.inf
        self._ends.close(places)
        for run in self._density.close(places) | self._novelty.close(places):
            self._scale_terms(run)

    def picks(self, run: int) -> Picks:
        """What a run has picked so far, with the terms and the score of each pick to about six digits."""
        places = np.array([best[run] for best, _ in self._taken], dtype=np.intp)
        terms = terms_of(np.array([facts[:, :, run] for _, facts in self._taken]))
        scores = self.score(run, terms)
        named = dict(zip(TERMS, terms.T, strict=True))
        return Picks(places, scores, named, float(self.alphas[run]), distances=self.nearest.distances(run))

    def score(self, run: int, terms: FloatArray) -> FloatArray:
        """(T,) scores of a run from (T, 3) scaled terms."""
        factor, addend = self.rule.parts(float(self.alphas[run]), terms[:, 0], terms[:, 1])
        scores: FloatArray = factor * (addend + self._weight[run] * terms[:, 2])
        return scores

    def _update_scores(self) -> FloatArray:
        """Score all points; for each run how far off the difference of two scores can be."""
        xp, backend, score, distance = self.points.backend.xp, self.points.backend, self._score, self.nearest.distance
        if not self._begun:  # diversity is 1 for all
            xp.add(self._addend, backend.array(self._weight.astype(np.float32))[:, None], out=score)
            xp.multiply(score, self._factor, out=score)
            return self._tolerance
        self.nearest.catch_up(self._likely if self._ahead else None)
        self._update_scale()
        for run in self._stale.nonzero()[0]:
            xp.multiply(self._addend[run], float(self._divisor[run]), out=self._offset[run])
            if self._used[run]:
                self._offset[run] -= float(self._ends.low[run])
        self._stale.fill(False)
        if self._used.all():
            xp.add(self._offset, distance, out=score)
        else:
            xp.multiply(distance, backend.array(self._used.astype(np.float32))[:, None], out=score)
            xp.add(score, self._offset, out=score)
        xp.multiply(score, self._factor, out=score)
        return self._tolerance

    def _update_scale(self) -> None:
        """Renew the scale of diversity, and what follows, if an end of it has moved."""
        moved = self._ends.update(self._addend)
        if not len(moved):
            return
        self._stale[moved] = True
        high, span, error = self._ends.high, self._ends.high - self._ends.low, self._error()
        self._used = (span > 0.0) & (self._weight > 0.0)
        self._divisor = np.where(self._used, span, 1.0) / np.where(self._used, self._weight, 1.0)
        # A score errs by its distance and, weighted to 1 in all, by the ends of the scale; two scores are compared.
        tolerance = np.where(span > 4.0 * error, 4.0 * error, np.inf) + _ROUNDING * high
        self._tolerance = np.where(self._weight > 0.0, tolerance, 0.0) + _ROUNDING * self._divisor

    def _error(self) -> FloatArray:
        """(R,) bound on the error of the distances."""
        error: FloatArray = self.points.error(self._ends.low, self._ends.high)
        return error

    def _likely(self) -> IntArray:
        """Places with the largest scores of the last step: the next picks are mostly among them."""
        xp, score = self.points.backend.xp, self._score
        score -= xp.amax(score, 1)[:, None]
        return self.points.backend.largest(xp.amax(score, 0), self._ahead)

    def _decide(self, run: int, least: float) -> tuple[int, float]:
        """The best of the points of a run that float32 cannot tell from the best, and its diversity."""
        score = self.points.backend.numpy(self._score[run])
        rivals = ((score >= least) & (score > -np.inf)).nonzero()[0]
        factor, addend = self._parts(run, rivals)
        weight, diversity, scale = self._weight[run], np.ones(len(rivals)), 1.0
        if self._begun:
            distance, low, high = self.nearest.exact(run, rivals), self._ends.low[run], self._ends.high[run]
            error = float(self._error()[run])
            # The ends of the scale may be off by the error. That moves all scores, but mostly alike.
            values = factor * (addend * (high - low) + weight * (distance - low))
            ahead, moved = values.max() - values, np.stack([factor * addend, factor * (addend + weight)])
            best = int(values.argmax())
            ahead -= error * np.abs(moved - moved[:, [best]]).sum(axis=0) + TIE * high
            ahead[best] = np.inf
            if high - low > 4.0 * error and ahead.min() > 0.0:
                return int(rivals[best]), float((distance[best] - low) / (high - low))
            low, high = self._ends.exact(run, self._addend)
            diversity = np.zeros(len(rivals))
            if high - low > TIE * high:
                diversity = (distance - low) / (high - low)
                scale = high / (high - low)
        values = factor * (addend + weight * diversity)
        tied = values >= values.max() - TIE * scale
        rivals, diversity = rivals[tied], diversity[tied]
        best = int(np.argmax(diversity >= diversity.max() - TIE * scale))
        return int(rivals[best]), float(diversity[best])

    def _parts(self, run: int, places: IntArray | slice) -> tuple[FloatArray, FloatArray]:
        """Factor and addend of the score of a run at these places."""
        density, novelty = self._density.scaled(run, places), self._novelty.scaled(run, places)
        return self.rule.parts(float(self.alphas[run]), density, novelty)

    def _scale_terms(self, run: int) -> None:
        """Renew factor and addend of a run."""
        factor, addend = self._parts(run, slice(None))
        closed = np.isinf(self.points.backend.numpy(self._addend[run]))
        factor[closed], addend[closed] = 1.0, -np.inf
        self._factor[run] = self.points.backend.array(factor.astype(np.float32))
        self._addend[run] = self.points.backend.array(addend.astype(np.float32))
        self._stale[run] = True


def terms_of(facts: FloatArray) -> FloatArray:
    """(T, 3) scaled density, novelty and diversity from (T, 3, 3): value, low and span of each."""
    value, low, span = facts.transpose(1, 0, 2)
    return np.clip((value - low) / np.where(span > 0.0, span, np.inf), 0.0, 1.0)
