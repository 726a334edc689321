"""XSSR: cross-domain self-supervised representative selection (Ko et al. 2026, arXiv 2606.04301).

The paper has no public code; the formulas are the most defensible reading of it. With t_i the target
vectors, s_j the source vectors, S the picks so far, d the Euclidean distance and norm the min-max
scaling over the current candidates (a constant term becomes 0):

    density    rho_i   = norm(1 / (mean distance of t_i to its k nearest target neighbours + eps))
    novelty    nu_i    = norm(min_j d(t_i, s_j)); 0 for all without a source
    diversity  delta_i = norm(min_{s in S} d(t_i, s)); 1 for all while S is empty
    product    score_i = rho_i * (alpha * nu_i + (1 - alpha) * delta_i)
    sum        score_i = rho_i +  alpha * nu_i + (1 - alpha) * delta_i

The image with the largest score is picked, again and again. Ties go to the larger diversity, then to
the first in canonical order. alpha is the value of a grid with the smallest mean coverage (mean
distance of the pool to its nearest pick); no label is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selection, Selector, result
from xssr_strategy.selection.by_group import grouped_picks, numbered
from xssr_strategy.selection.checks import Rows, checked_budget, is_number
from xssr_strategy.selection.clusters import checked_number
from xssr_strategy.selection.greedy import Combination, LockStep, Rule
from xssr_strategy.selection.incremental import IncrementalSelection
from xssr_strategy.selection.neighbours import neighbour_distances
from xssr_strategy.selection.points import Points

Coverage = Literal["target", "union"]
TermName = Literal["density", "novelty", "diversity"]

ALPHA_GRID = tuple(round(0.1 * step, 1) for step in range(10))
"""0.0 to 0.9, our choice; 1.0 would switch diversity off."""

NEIGHBOURS = 20
"""k of the density, as in TypiClust (Hacohen et al. 2022)."""

_EPS = 1e-5
_SAME = 1e-6  # relative; coverages of two alphas closer than this are ties


def density(points: Points, neighbours: int = NEIGHBOURS) -> FloatArray:
    """(N,) typicality of each point: 1 / (mean distance to its nearest neighbours + 1e-5).

    At most half of the pool counts as neighbours. A single image has density 1.
    """
    count = min(neighbours, points.size // 2)
    if count < 1:
        return np.ones(points.size)
    mean: FloatArray = neighbour_distances(points, points, count).mean(axis=1) * points.unit
    return 1.0 / (mean + _EPS)


def novelty(points: Points, source: Points) -> FloatArray:
    """(N,) distance of each point to the nearest of the source."""
    distance: FloatArray = neighbour_distances(points, source, 1)[:, 0] * points.unit
    return distance


class XSSR(Selector):
    """Density, novelty and diversity with a calibrated trade-off (Ko et al. 2026).

    Args:
        alpha: weight of novelty against diversity in [0, 1], or ``"auto"`` to calibrate it on
            ``grid``. Without a source there is nothing to trade: alpha is 0.
        combination: ``"product"`` (default: it keeps outliers out) or ``"sum"``.
        neighbours: k of the density.
        grid: the alphas that the calibration tries.
        calibration_budget: number of picks at which the calibration compares the alphas; the
            budget itself if None. Lets a ranking that is longer than the budget keep its alpha.
        without: terms that are switched off, for ablations. Of novelty and diversity the other then
            has the whole weight; without both, density alone decides.
        coverage: what the calibration makes small. ``"target"``: the mean distance of the pool to its
            nearest pick. ``"union"``: to its nearest pick or source image, so that a pick counts only
            for what the source does not cover already, and novelty is worth something.
        device: None for NumPy, or a torch device such as ``"cuda"``; the picks are the same.

    >>> from xssr_strategy.selection import XSSR
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]  # two groups of three and an outlier
    >>> selection = XSSR(alpha=0.5).select(pool, budget=2, source=[[0.0], [1.0], [2.0]])
    >>> selection.indices.tolist()  # the middle of the group that the source does not know, then that of the other
    [4, 1]
    >>> {name: values.round(2).tolist() for name, values in selection.terms.items()}
    {'density': [1.0, 1.0], 'novelty': [0.32, 0.0], 'diversity': [1.0, 0.5]}

    With ``"auto"``, alpha is the one whose picks lie nearest to the pool in the mean:

    >>> selection = XSSR(grid=(0.0, 0.5)).select(pool, budget=3, source=[[0.0], [1.0], [2.0]])
    >>> [(alpha, round(mean, 2), round(largest, 2)) for alpha, mean, largest in selection.calibration]
    [(0.0, 0.57, 1.0), (0.5, 3.0, 18.0)]
    >>> selection.alpha
    0.0
    """

    def __init__(
        self,
        alpha: float | Literal["auto"] = "auto",
        combination: Combination = "product",
        neighbours: int = NEIGHBOURS,
        grid: tuple[float, ...] = ALPHA_GRID,
        calibration_budget: int | None = None,
        without: Collection[TermName] = (),
        coverage: Coverage = "target",
        device: str | None = None,
    ) -> None:
        if not (isinstance(alpha, str) and alpha == "auto") and not _is_share(alpha):
            raise ValueError(f"alpha must be 'auto' or a number from 0 to 1, not {alpha!r}.")
        if combination not in get_args(Combination):
            raise ValueError(f"combination must be 'product' or 'sum', not {combination!r}.")
        if not len(grid) or not all(map(_is_share, grid)):
            raise ValueError(f"grid must hold alphas from 0 to 1, not {grid!r}.")
        if calibration_budget is not None:
            calibration_budget = checked_number("calibration_budget", calibration_budget, 1)
        if isinstance(without, str) or set(without) - set(get_args(TermName)):
            raise ValueError(f"without must hold names among density, novelty and diversity, not {without!r}.")
        if coverage not in get_args(Coverage):
            raise ValueError(f"coverage must be 'target' or 'union', not {coverage!r}.")
        self.alpha = alpha
        self.combination = combination
        self.neighbours = checked_number("neighbours", neighbours, 1)
        self.grid = grid
        self.calibration_budget = calibration_budget
        self.without = frozenset(without)
        self.coverage = coverage
        self.device = device

    def select(
        self,
        target: ArrayLike,
        budget: int,
        source: ArrayLike | None = None,
        labeled: Rows = (),
        rule: Rule | None = None,
        groups: Sequence[str] | None = None,
    ) -> Selection:
        """As :meth:`Selector.select`.

        Args:
            rule: what :meth:`terms` gave for this target and source, if it was asked before.
            groups: (N,) name of the group of every row, such as its patient: no second row of a group is picked before
                every group has one, labelled rows included (:mod:`xssr_strategy.selection.by_group`). None: rows are
                picked as if each were a group.

        >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]
        >>> XSSR(alpha=0.5).select(pool, budget=3).indices.tolist()
        [1, 4, 6]
        >>> patients = ["Ann", "Ann", "Bo", "Cy", "Ann", "Cy", "Di"]
        >>> XSSR(alpha=0.5).select(pool, budget=3, groups=patients).indices.tolist()  # row 4 would be Ann's second
        [1, 5, 6]
        """
        points, reference, places = self.checked(target, source, labeled)
        count = checked_budget(budget, points.size - len(places))
        known = self._rule(points, reference, rule)
        if groups is None:
            return result(points, self._greedy(points, count, reference, places, known), places)
        return result(points, self._grouped(points, count, places, known, numbered(groups, points)), places)

    def terms(self, target: ArrayLike, source: ArrayLike | None = None) -> Rule:
        """Density and novelty of the rows of ``target``, to be kept: they change with target and source alone.

        Raises:
            ValueError: bad input.

        >>> rule = XSSR().terms([[0.0], [1.0], [5.0]], source=[[1.0]])
        >>> rule.novelty.round(2).tolist()  # distance to the source
        [1.0, 0.0, 4.0]
        """
        points, reference, _ = self.checked(target, source, ())
        return self._rule(points, reference, None).in_order(np.argsort(points.order))

    def begin(
        self,
        target: ArrayLike,
        source: ArrayLike | None = None,
        labeled: Rows = (),
        rule: Rule | None = None,
        groups: Sequence[str] | None = None,
    ) -> IncrementalSelection:
        """Open a selection that is asked for one pick at a time while images are labelled, leased or given back.

        Args:
            target, source, labeled, rule, groups: as for :meth:`select`; all of ``target`` may be labelled.

        Raises:
            ValueError: bad input; or alpha is ``"auto"``: calibrate by :meth:`select` and give its alpha here.

        >>> selection = XSSR(alpha=0.5).begin([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]])
        >>> selection.find().index
        1
        >>> selection.take(1)  # an annotator has it: the next one gets what is most useful beside it
        >>> selection.find().index
        4
        """
        points, reference, places = self.checked(target, source, labeled)
        known = self._rule(points, reference, rule)
        if self.alpha == "auto" and known.has_trade_off:
            raise ValueError("alpha must be a number to begin with: take that of a calibrated selection.")
        alpha = known.alpha(0.0 if self.alpha == "auto" else float(self.alpha))
        return IncrementalSelection(points, known, alpha, places, None if groups is None else numbered(groups, points))

    def _rule(self, points: Points, source: Points | None, known: Rule | None) -> Rule:
        """The fixed terms of this pool, by place, and how they are combined."""
        if known is not None:
            for values in (known.density, known.novelty):
                if values is not None and len(values) != points.size:
                    raise ValueError(
                        f"rule is of {len(values)} rows and target has {points.size}: ask terms() of this target."
                    )
            return known.in_order(points.order)
        return Rule(
            density=None if "density" in self.without else density(points, self.neighbours),
            novelty=None if source is None or "novelty" in self.without else novelty(points, source),
            diversity="diversity" not in self.without,
            combination=self.combination,
        )

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        return self._greedy(points, budget, source, labeled, self._rule(points, source, None))

    def _greedy(self, points: Points, budget: int, source: Points | None, labeled: IntArray, rule: Rule) -> Picks:
        if self.alpha != "auto" or not rule.has_trade_off:
            alpha = rule.alpha(0.0 if self.alpha == "auto" else float(self.alpha))
            steps = LockStep(points, rule, np.array([alpha]), labeled)
            steps.run(budget)
            return steps.picks(0)

        count = self.calibration_budget or budget
        steps = LockStep(points, rule, np.asarray(self.grid), labeled)
        steps.run(min(count, points.size - len(labeled)))
        curve = [self._covered(alpha, steps.nearest.distances(run), rule) for run, alpha in enumerate(self.grid)]
        chosen = best_alpha(curve)
        picks = steps.picks(chosen)
        if count < budget:
            rest = LockStep(points, rule, np.array([self.grid[chosen]]), np.concatenate([labeled, picks.indices]))
            rest.run(budget - len(picks.indices))
            picks = picks.followed_by(rest.picks(0))
        elif count > budget:
            picks = picks.first(budget)
        return replace(picks, calibration=tuple(curve))

    def _grouped(self, points: Points, budget: int, labeled: IntArray, rule: Rule, groups: IntArray) -> Picks:
        """As :meth:`_greedy`, by groups: every alpha picks by itself."""
        if self.alpha != "auto" or not rule.has_trade_off:
            alpha = rule.alpha(0.0 if self.alpha == "auto" else float(self.alpha))
            return grouped_picks(points, rule, alpha, budget, labeled, groups)
        count = min(self.calibration_budget or budget, points.size - len(labeled))
        curve = []
        for alpha in self.grid:
            distances = grouped_picks(points, rule, float(alpha), count, labeled, groups).distances
            curve.append(self._covered(float(alpha), distances, rule))
        picks = grouped_picks(points, rule, float(self.grid[best_alpha(curve)]), budget, labeled, groups)
        return replace(picks, calibration=tuple(curve))

    def _covered(self, alpha: float, distances: FloatArray | None, rule: Rule) -> tuple[float, float, float]:
        """A point of the calibration from the (N,) distances to the nearest pick."""
        assert distances is not None
        if self.coverage == "union" and rule.novelty is not None:
            distances = np.minimum(distances, rule.novelty)
        return alpha, float(distances.mean()), float(distances.max())


def _is_share(value: object) -> bool:
    """Whether a value is a number from 0 to 1; True and False are none."""
    return is_number(value) and 0.0 <= float(value) <= 1.0


def best_alpha(curve: list[tuple[float, float, float]]) -> int:
    """Position of the point (alpha, mean coverage, max coverage) with the smallest mean coverage.

    Values that agree to six digits are ties; they go to the smaller max coverage, then to the smaller alpha.

    >>> best_alpha([(0.0, 2.0, 5.0), (0.1, 1.5, 4.0), (0.2, 1.5, 3.0)])  # the same mean: the smaller radius decides
    2
    """
    left = list(range(len(curve)))
    for column in (1, 2):
        least = min(curve[run][column] for run in left)
        left = [run for run in left if curve[run][column] <= least * (1.0 + _SAME)]
    return min(left, key=lambda run: curve[run][0])
