"""Class-stratified scheduled power predictive entropy (ClaSP PE; Lueth et al. 2026, arXiv 2601.13677) of whole cases.

    u_ic   mean over the pixels of image i of  p_c H,  H the entropy of the pixel: how unsure the network is of class c
    s_i    log u_ic + G_ic / beta, G_ic drawn from Gumbel(0, 1): with a small beta nearly any image may be picked
    1. two thirds of the budget by turns for each label, the largest s_ic among those that are left
    2. the rest by the sum over the classes, which is the mean entropy of the image

The paper queries patches of volumes; that an image is scored by the mean over its pixels is our choice, as it is that
the background has no turn. Beta grows from 1 to 100 over the rounds.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike

from xssr_strategy.selection.backend import FloatArray, IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.points import Points

FIRST_BETA, LAST_BETA = 1.0, 100.0
STRATIFIED = 2 / 3
"""Share of the budget that goes to the labels by turns."""


def beta_of(done: float) -> float:
    """Beta of a round, from ``done`` 0 for the first that asks a network to 1 for the last.

    >>> beta_of(0.0), beta_of(0.5), beta_of(1.0)
    (1.0, 10.0, 100.0)
    """
    return float(FIRST_BETA * (LAST_BETA / FIRST_BETA) ** done)


class ClaspPE(Selector):
    """Images in which a network is unsure of one label or another (after Lueth et al. 2026).

    The score of a pick is its noised logarithm; the term ``entropy`` is the mean entropy in the unit in which it came.

    Args:
        entropy: (N, 1 + labels) of every row of the ``target`` to come: mean of p_c H for the background and each
            label; of labelled rows it may be NaN.
        beta: how much the doubt counts beside chance, above 0.
        seed: of the noise, which is drawn anew for another number of labelled rows.

    Raises:
        ValueError: ``entropy`` has another shape or a negative value, or ``beta`` is not above 0.

    >>> pool = [[0.0], [1.0], [2.0], [3.0]]
    >>> entropy = [[0.5, 0.01, 0.2], [0.5, 0.3, 0.01], [0.5, 0.02, 0.1], [0.9, 0.02, 0.02]]  # background, two labels
    >>> ClaspPE(entropy, beta=1e6).select(pool, budget=3).indices.tolist()  # a turn for each label, then the sum
    [1, 0, 3]
    """

    def __init__(self, entropy: ArrayLike, beta: float = LAST_BETA, seed: int = 0) -> None:
        values = np.asarray(entropy, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] < 2:
            raise ValueError(
                f"entropy has the shape {values.shape}: give (N, 1 + labels), a column for background and labels."
            )
        if (values < 0).any():
            raise ValueError("entropy has a negative value.")
        if not beta > 0:
            raise ValueError(f"beta must be above 0, not {beta}.")
        self.entropy, self.beta, self.seed = values, beta, seed

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        if len(self.entropy) != points.size:
            raise ValueError(f"entropy has {len(self.entropy)} rows and target {points.size}: give one for each.")
        entropy = self.entropy[points.order]
        left = np.ones(points.size, dtype=bool)
        left[labeled] = False
        unknown = np.flatnonzero(left & ~np.isfinite(entropy).all(axis=1))
        if len(unknown):
            row = int(points.order[unknown].min())
            raise ValueError(f"entropy of row {row} is NaN or infinite: score that image, or count it as labelled.")
        whole = entropy.sum(axis=1)
        values = np.column_stack([entropy[:, 1:], whole])
        noise = np.random.default_rng([self.seed, len(labeled)]).gumbel(size=values.shape) / self.beta
        scores: FloatArray = np.log(np.maximum(values, np.finfo(np.float64).tiny)) + noise
        turns = itertools.cycle(range(values.shape[1] - 1))
        indices, found = [], []
        for number in range(budget):
            column = next(turns) if number < int(STRATIFIED * budget) else -1
            best = int(np.argmax(np.where(left, scores[:, column], -np.inf)))
            left[best] = False
            indices.append(best)
            found.append(float(scores[best, column]))
        return Picks(np.array(indices), np.array(found), {"entropy": whole[indices]})
