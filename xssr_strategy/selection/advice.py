"""How far a number of picks covers the pool, and from which number on another one adds little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from xssr_strategy.selection.backend import FloatArray, backend_on
from xssr_strategy.selection.checks import (
    Rows,
    checked_order,
    checked_rows,
    checked_values,
    checked_vectors,
    whole_number,
)
from xssr_strategy.selection.points import Points

SHARE = 0.01
"""An image that lowers the mean coverage by less than this share of one image's coverage adds little; our choice."""

_TOGETHER = 32  # rows of distances held at once


def coverage_curve(
    target: ArrayLike,
    indices: Rows,
    labeled: Rows = (),
    device: str | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Mean and max coverage after each pick.

    Args:
        target: (N, D) vectors of the pool.
        indices: (B,) rows in pick order, such as ``Selection.indices``; not a boolean mask, which has no order.
        labeled: rows that are annotated already, as numbers or as a boolean mask.
        device: None for NumPy, or a torch device.

    Returns:
        Two (B,) arrays: mean and largest distance of the pool to the nearest labelled image or pick, after 1, 2, ...
        B picks.

    Raises:
        ValueError: bad input.

    >>> from xssr_strategy.selection import CoreSet, coverage_curve
    >>> pool = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0], [30.0]]  # two groups of three and an outlier
    >>> mean, largest = coverage_curve(pool, CoreSet().select(pool, budget=4).indices)
    >>> mean.round(2).tolist()  # the third pick is worth much, the fourth little
    [7.14, 4.29, 0.86, 0.57]
    >>> largest.round(2).tolist()
    [20.0, 10.0, 2.0, 2.0]
    """
    vectors = checked_vectors("target", target)
    known, picks = checked_rows("labeled", labeled, len(vectors)), checked_order("indices", indices, len(vectors))
    points = Points(vectors, backend_on(device))
    place = np.argsort(points.order)
    order = place[np.concatenate([known, picks])]
    nearest = np.full(points.size, np.inf, dtype=np.float32)
    mean, largest = np.empty(len(order)), np.empty(len(order))
    for begin in range(0, len(order), _TOGETHER):
        rows = np.sqrt(points.backend.numpy(points.squared(order[begin : begin + _TOGETHER])[0]))
        rows[0] = np.minimum(rows[0], nearest)
        np.minimum.accumulate(rows, axis=0, out=rows)
        nearest = rows[-1]
        mean[begin : begin + len(rows)] = rows.mean(axis=1, dtype=np.float64) * points.unit
        largest[begin : begin + len(rows)] = rows.max(axis=1) * points.unit
    return mean[len(known) :], largest[len(known) :]


@dataclass(frozen=True)
class Advice:
    """What a coverage curve says of a budget.

    Attributes:
        worthwhile: the number of annotated images past which each further pick of the curve lowers the mean coverage
            by less than the share; None if the curve ends before.
        text: a sentence for people.
    """

    worthwhile: int | None
    text: str


def advise(
    coverage: ArrayLike,
    budget: int,
    pool: int,
    alone: float,
    labelled: int = 0,
    share: float = SHARE,
) -> Advice:
    """Advise on a budget.

    Args:
        coverage: (B,) mean coverage after 1, 2, ... further picks.
        budget: further picks meant, 1 to B.
        pool: images in the pool.
        alone: mean coverage by one image, of which the share is taken. Shares of what is left would rise again
            towards the end of the pool.
        labelled: images labelled before the first of these picks.
        share: in (0, 1).

    Raises:
        ValueError: a curve that is empty or no row of numbers, or a budget that it does not reach.

    >>> from xssr_strategy.selection import advise
    >>> advice = advise([4.0, 2.0, 1.0, 0.98, 0.97], budget=2, pool=50, alone=4.0)
    >>> advice.worthwhile  # the fourth image lowers the mean distance by 0.02, half a per cent of 4.0
    3
    >>> for part in advice.text.split("; "):
    ...     print(part)
    2 of 50 images cover the pool to a mean distance of 2.000, one image to 4.000
    from 4 on each further image adds less than 1% of the latter.
    """
    curve, budget = checked_values("coverage", coverage, "pick"), whole_number("budget", budget)
    if not len(curve):
        raise ValueError("coverage must hold the value after at least one pick.")
    if not 1 <= budget <= len(curve):
        raise ValueError(f"budget must be 1 to {len(curve)}, the picks of the curve, not {budget}.")
    worth = np.flatnonzero(-np.diff(curve) >= share * alone)
    last = int(worth[-1]) + 2 if alone > 0.0 and len(worth) else 1  # of the picks that are worth it
    worthwhile = labelled + last if last < len(curve) or labelled + last >= pool else None
    text = (
        f"{labelled + budget} of {pool} images cover the pool to a mean distance of {curve[budget - 1]:.3f}, "
        f"one image to {alone:.3f}; "
    )
    if worthwhile is None or worthwhile >= pool:
        text += f"up to {labelled + len(curve)} there are images that add {share:.0%} of the latter or more."
    else:
        text += f"from {worthwhile + 1} on each further image adds less than {share:.0%} of the latter."
    return Advice(worthwhile, text)
