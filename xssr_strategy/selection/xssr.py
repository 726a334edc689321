"""XSSR: cross-domain self-supervised representative selection (Ko et al. 2026, arXiv 2606.04301).

The paper has no public code; the formulas are the most defensible reading of it. With t_i the target
vectors, s_j the source vectors, S the picks so far, d the Euclidean distance and norm the min-max
scaling over the current candidates (a constant term becomes 0):

    density    rho_i   = norm(1 / (mean distance of t_i to its k nearest target neighbours + eps))
    novelty    nu_i    = norm(min_j d(t_i, s_j)); 0 for all without a source
    diversity  delta_i = norm(min_{s in S} d(t_i, s)); 1 for all while S is empty
    product    score_i = rho_i * (alpha * nu_i + (1 - alpha) * delta_i)
    sum        score_i = rho_i +  alpha * nu_i + (1 - alpha) * delta_i

The image with the largest score is picked, again and again. alpha is the value of a grid with the
smallest mean coverage (mean distance of the pool to its nearest pick); no label is looked at.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.base import FloatArray, IntArray, Picks, Selector
from xssr_strategy.selection.distance import distance_row, mean_neighbour_distance, nearest_distance

Combination = Literal["product", "sum"]

ALPHA_GRID = tuple(round(0.1 * step, 1) for step in range(10))
"""0.0 to 0.9, our choice; 1.0 would switch diversity off."""

NEIGHBOURS = 20
"""k of the density, as in TypiClust (Hacohen et al. 2022)."""

_EPS = 1e-5


def density(target: FloatArray, neighbours: int = NEIGHBOURS) -> FloatArray:
    """(N,) typicality of each row of ``target`` (N, D): 1 / (mean distance to its neighbours + 1e-5).

    At most half of the pool counts as neighbours. A single image has density 1.
    """
    count = min(neighbours, len(target) // 2)
    if count < 1:
        return np.ones(len(target))
    return 1.0 / (mean_neighbour_distance(target, count) + _EPS)


def novelty(target: FloatArray, source: FloatArray | None) -> FloatArray:
    """(N,) distance of each row of ``target`` (N, D) to the nearest row of ``source`` (M, D); zeros without one."""
    return np.zeros(len(target)) if source is None else nearest_distance(target, source)


def normalise(values: FloatArray, free: NDArray[np.bool_]) -> FloatArray:
    """Min-max scale every row of ``values`` (A, N) over its candidates ``free`` (A, N); a constant row becomes 0."""
    low = np.where(free, values, np.inf).min(axis=1, keepdims=True)
    high = np.where(free, values, -np.inf).max(axis=1, keepdims=True)
    span = high - low
    return np.where(span > 0, (values - low) / np.where(span > 0, span, 1.0), 0.0)


def greedy(
    target: FloatArray,
    densities: FloatArray,
    novelties: FloatArray,
    alphas: FloatArray,
    budget: int,
    labeled: IntArray,
    combination: Combination,
) -> tuple[list[Picks], FloatArray]:
    """Run the greedy rule for every alpha at once, in lock-step.

    The alphas often agree on a pick, so a distance row is computed once for all that do. Ties in the
    score go to the larger diversity, then to the first row.

    Args:
        target: (N, D); ``densities`` (N,) and ``novelties`` (N,): see the functions of these names.
        alphas: (A,) values in [0, 1].

    Returns:
        One ``Picks`` per alpha, and (A, N) the distance of every row to the nearest pick at the end.
    """
    runs = len(alphas)
    every = np.arange(runs)
    free = np.ones((runs, len(target)), dtype=bool)
    free[:, labeled] = False
    nearest = np.full(free.shape, np.inf)
    if len(labeled):
        nearest[:] = nearest_distance(target, target[labeled])
    weight = alphas[:, None]
    indices = np.empty((runs, budget), dtype=np.intp)
    scores = np.empty((runs, budget))
    terms = {name: np.empty((runs, budget)) for name in ("density", "novelty", "diversity")}

    for step in range(budget):
        rho = normalise(densities[None], free)
        nu = normalise(novelties[None], free)
        delta = normalise(nearest, free) if step or len(labeled) else np.ones_like(nearest)
        trade_off = weight * nu + (1.0 - weight) * delta
        score = np.where(free, rho * trade_off if combination == "product" else rho + trade_off, -np.inf)
        ties = score == score.max(axis=1, keepdims=True)
        best = np.where(ties, delta, -1.0).argmax(axis=1)

        indices[:, step], scores[:, step] = best, score[every, best]
        for name, values in (("density", rho), ("novelty", nu), ("diversity", delta)):
            terms[name][:, step] = values[every, best]
        free[every, best] = False
        for pick in np.unique(best):
            agreeing = best == pick
            nearest[agreeing] = np.minimum(nearest[agreeing], distance_row(target, target[pick]))

    picks = [
        Picks(indices[run], scores[run], {name: values[run] for name, values in terms.items()}, float(alphas[run]))
        for run in range(runs)
    ]
    return picks, nearest


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
    """

    def __init__(
        self,
        alpha: float | Literal["auto"] = "auto",
        combination: Combination = "product",
        neighbours: int = NEIGHBOURS,
        grid: tuple[float, ...] = ALPHA_GRID,
        calibration_budget: int | None = None,
    ) -> None:
        if alpha != "auto" and not (isinstance(alpha, (int, float)) and 0.0 <= alpha <= 1.0):
            raise ValueError(f"alpha must be 'auto' or a number from 0 to 1, not {alpha!r}.")
        if combination not in ("product", "sum"):
            raise ValueError(f"combination must be 'product' or 'sum', not {combination!r}.")
        if neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, not {neighbours}.")
        if not grid or any(not 0.0 <= value <= 1.0 for value in grid):
            raise ValueError(f"grid must hold alphas from 0 to 1, not {grid!r}.")
        if calibration_budget is not None and calibration_budget < 1:
            raise ValueError(f"calibration_budget must be at least 1, not {calibration_budget}.")
        self.alpha = alpha
        self.combination = combination
        self.neighbours = neighbours
        self.grid = grid
        self.calibration_budget = calibration_budget

    def _pick(self, target: FloatArray, budget: int, source: FloatArray | None, labeled: IntArray) -> Picks:
        rho, nu = density(target, self.neighbours), novelty(target, source)
        curve: tuple[tuple[float, float, float], ...] = ()
        if self.alpha != "auto":
            alpha = float(self.alpha)
        elif source is None:
            alpha = 0.0
        else:
            count = budget if self.calibration_budget is None else self.calibration_budget
            count = min(count, len(target) - len(labeled))
            _, nearest = greedy(target, rho, nu, np.asarray(self.grid), count, labeled, self.combination)
            curve = tuple(zip(self.grid, nearest.mean(axis=1).tolist(), nearest.max(axis=1).tolist(), strict=True))
            # Smallest mean coverage; ties go to the smaller radius, then to the smaller alpha.
            alpha = min(curve, key=lambda point: (point[1], point[2], point[0]))[0]
        (picks,), _ = greedy(target, rho, nu, np.asarray([alpha]), budget, labeled, self.combination)
        return Picks(picks.indices, picks.scores, picks.terms, alpha, curve)
