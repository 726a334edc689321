"""Intervals of what two strategies or training methods have in common.

Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Patients, seeds and
draws are resampled independently and crossed (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007),
the same patients and seeds on both sides, so that what both sides share cancels out. All cases of a patient come along
with it, as they resemble each other (the cluster bootstrap: Cameron, Gelbach and Miller, Bootstrap-based improvements
for inference with clustered errors, Review of Economics and Statistics 90, 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xssr_strategy.simulation.scores import Array, Pair

RESAMPLES = 10_000
CONFIDENCE = 95.0
"""Per cent that an interval is meant to cover; our choice, as is the number of resamples."""

_BLOCK = 1_000  # resamples at a time, so that 10,000 test cases fit into memory


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float


def estimate(value: float, resampled: Array) -> Estimate:
    """A number with the interval of its resamples (RESAMPLES,)."""
    tail = (100.0 - CONFIDENCE) / 2.0
    low, high = np.round(np.percentile(resampled, [tail, 100.0 - tail]), 9)  # a rounding error is no difference
    return Estimate(value, float(low), float(high))


def resampled_means(pair: Pair, same_draws: bool = False) -> tuple[Array, Array]:
    """The means of both sides in every bootstrap resample: (RESAMPLES,) each; the same arrays give the same means.

    A resample gives every patient, seed and draw the weight with which it was drawn; those of patients and seeds serve
    both sides. Every case of a patient has the patient's weight.

    Args:
        pair: both sides.
        same_draws: whether the draws are the same on both sides; then their weights are.
    """
    rng = np.random.default_rng(0)
    means = np.empty((2, RESAMPLES))
    for start in range(0, RESAMPLES, _BLOCK):
        patients, seeds = _weights(rng, pair.patients.max() + 1), _weights(rng, pair.one.shape[1])
        cases = patients[:, pair.patients]
        cases /= cases.sum(axis=1, keepdims=True)
        for row, side in enumerate((pair.one, pair.other)):
            jobs = (cases @ side.reshape(-1, side.shape[2]).T).reshape(_BLOCK, *side.shape[:2])
            if row == 0 or not same_draws:
                draws = _weights(rng, len(side))
            means[row, start : start + _BLOCK] = np.einsum("rds,rd,rs->r", jobs, draws, seeds)
    return means[0], means[1]


def _weights(rng: np.random.Generator, size: int) -> Array:
    """(_BLOCK, size) shares of a draw of ``size`` out of ``size`` with replacement; rows sum to 1."""
    drawn = rng.integers(size, size=(_BLOCK, size)) + size * np.arange(_BLOCK)[:, None]
    return np.bincount(drawn.ravel(), minlength=_BLOCK * size).reshape(_BLOCK, size) / size
