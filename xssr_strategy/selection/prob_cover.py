"""ProbCover: picks whose balls cover the pool (Yehuda et al. 2022, arXiv 2205.11320).

With the ball B(i) = {j : d(i, j) <= radius}, which holds i itself, and the set U of images not yet covered:

    score_i = |B(i) & U| / N

The image with the largest score is picked and its ball leaves U, again and again. Labelled images have covered theirs
before. When U is empty, a new round begins in which all that is neither labelled nor picked must be covered again by
the next picks (our choice; the paper stops there).

The radius is, as in the paper, the largest whose balls are pure in 95 % of cases with respect to k-means clusters,
where a ball is impure if it holds an image of another cluster. It needs no grid: the ball of i is pure if the radius is
below the distance of i to the nearest image of another cluster, so a quantile of these distances is the answer.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.checks import is_number
from xssr_strategy.selection.clusters import checked_number, checked_seed, k_means_clusters, subset
from xssr_strategy.selection.neighbours import neighbour_distances
from xssr_strategy.selection.points import TIE, Points

CLUSTERS = 10
"""Pseudo classes that the automatic radius tells apart; our choice, the paper takes the number of true classes."""

_BELOW = 1e-9  # relative; what an automatic radius stays below the distance that it must not reach
_TOGETHER = 32  # rows of distances computed at once


def balls(points: Points, radius: float) -> list[IntArray]:
    """For every point the places within ``radius`` of it, itself included, ascending.

    Distances that agree with the radius to 12 digits are within. float32 finds, and where it cannot tell float64
    decides, so that j is within the ball of i where i is within that of j. Memory grows with the number of pairs.
    """
    # Beyond any squared distance a larger limit changes nothing, and float32 could not hold it.
    reach = radius / points.unit * (1.0 + TIE)
    limit = min(reach * reach, 8.0 * points.largest)
    margin = 4.0 * points.rounding * points.largest
    within: list[IntArray] = []
    for begin in range(0, points.size, _TOGETHER):
        places = np.arange(begin, min(begin + _TOGETHER, points.size))
        for place, row in zip(places, points.backend.numpy(points.squared(places)[0]), strict=True):
            ball = np.flatnonzero(row <= limit + margin)
            unsure = row[ball] > limit - margin
            difference = points.rows(ball[unsure]) - points.rows(place)
            outside = np.einsum("ud,ud->u", difference, difference) > limit
            within.append(np.delete(ball, np.flatnonzero(unsure)[outside]).astype(np.int32))
    return within


def greedy_cover(balls: list[IntArray], budget: int, labeled: IntArray) -> Picks:
    """Pick again and again the point whose ball holds most of what is not covered.

    The score of a pick is the share of the pool that it newly covers. Ties go to the first in canonical order. The
    counts are kept up to date by the pairs that a pick removes.

    Args:
        balls: as of :func:`balls`.
    """
    size = len(balls)
    free, uncovered = np.ones(size, dtype=bool), np.ones(size, dtype=bool)
    free[labeled] = False
    for place in labeled:
        uncovered[balls[place]] = False
    counts, left = _counts(balls, uncovered), _counts(balls, free)
    indices: list[int] = []
    scores: list[float] = []
    while len(indices) < budget:
        if not uncovered.any():
            uncovered, counts = free.copy(), left.copy()
        place = int(np.argmax(np.where(free, counts, -1)))
        covered = balls[place][uncovered[balls[place]]]
        indices.append(place)
        scores.append(len(covered) / size)
        free[place] = False
        left[balls[place]] -= 1  # the points in the ball of the pick are those whose balls hold it
        uncovered[covered] = False
        if uncovered.any():
            counts -= np.bincount(np.concatenate([balls[other] for other in covered]), minlength=size)
    return Picks(np.array(indices), np.array(scores))


def _counts(balls: list[IntArray], among: NDArray[np.bool_]) -> IntArray:
    """(N,) how many of the points of each ball are in the (N,) mask."""
    return np.array([np.count_nonzero(among[ball]) for ball in balls])


def pure_radius(points: Points, clusters: list[IntArray], purity: float) -> float:
    """The largest radius at which this share of the balls holds no point of another cluster; infinite with one cluster.

    Args:
        clusters: places, ascending, of the points of each.
        purity: above 0, at most 1.
    """
    stranger: FloatArray = np.full(points.size, np.inf)
    for members in clusters:
        others = np.setdiff1d(np.arange(points.size), members)
        if len(others):
            inside, outside = subset(points, members, points), subset(points, others, points)
            stranger[members] = neighbour_distances(inside, outside, 1)[:, 0] * points.unit
    impure = int((1.0 - purity) * points.size * (1.0 + TIE))
    return float(np.sort(stranger)[min(impure, points.size - 1)] * (1.0 - _BELOW))


class ProbCover(Selector):
    """Each pick is the image with most images around it that no pick has around it (Yehuda et al. 2022).

    With a radius of its own the picks are the same on every machine; with ``"auto"`` on one machine, see
    :func:`k_means_clusters`.

    Args:
        radius: of the balls, in the unit of the vectors, or ``"auto"``: see :func:`pure_radius`.
        clusters: k-means clusters that stand in for classes; only for ``"auto"``.
        purity: share of balls that must be pure, above 0 and at most 1; only for ``"auto"``.
        seed: of k-means; only for ``"auto"``.

    >>> from xssr_strategy.selection import ProbCover
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]  # two groups of three and an outlier
    >>> selection = ProbCover(radius=1.0).select(pool, budget=3)
    >>> selection.indices.tolist()
    [1, 4, 6]
    >>> selection.scores.round(2).tolist()  # the share of the pool that each newly covers: 3, 3 and 1 of 7
    [0.43, 0.43, 0.14]
    """

    def __init__(
        self,
        radius: float | Literal["auto"] = "auto",
        clusters: int = CLUSTERS,
        purity: float = 0.95,
        seed: int = 0,
    ) -> None:
        if radius != "auto" and not (is_number(radius) and 0.0 < radius < np.inf):
            raise ValueError(f"radius must be 'auto' or a number above 0, not {radius!r}.")
        if not (is_number(purity) and 0.0 < purity <= 1.0):
            raise ValueError(f"purity must be a number above 0 and at most 1, not {purity!r}.")
        self.radius = radius
        self.clusters = checked_number("clusters", clusters, 2)
        self.purity = purity
        self.seed = checked_seed(seed)

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        if self.radius == "auto":
            radius = pure_radius(points, k_means_clusters(points, self.clusters, self.seed), self.purity)
        else:
            radius = float(self.radius)
        return greedy_cover(balls(points, radius), budget, labeled)
