"""XSSR with groups: images of one patient are nearly the same, so none has a second before every patient has one.

    candidates  of the groups that have an image left, those with the fewest picks and labels; of these all images left

Everything else is as in :mod:`xssr_strategy.selection.xssr`: the scales of density and novelty are those of the
candidates, and the whole pool counts for density and coverage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.base import Picks
from xssr_strategy.selection.greedy import LockStep, Rule
from xssr_strategy.selection.points import Points


def numbered(groups: Sequence[str], points: Points) -> IntArray:
    """(N,) number of the group of every place, from 0.

    Args:
        groups: (N,) names, by row.

    Raises:
        ValueError: there is not one for each row.
    """
    if len(groups) != points.size:
        raise ValueError(f"groups has {len(groups)} names and target {points.size} rows: give one for each.")
    numbers: IntArray = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)[1][points.order]
    return numbers


def candidates_of(groups: IntArray, taken: IntArray) -> tuple[IntArray, IntArray]:
    """Places that may be picked next, and those that are neither that nor taken; at least one is not taken.

    Args:
        groups: (N,) number of the group of every place, from 0.
        taken: places that are picked or labelled.

    >>> import numpy as np
    >>> candidates, others = candidates_of(np.array([0, 0, 1, 1]), np.array([0]))
    >>> candidates.tolist(), others.tolist()
    ([2, 3], [1])
    """
    free = np.setdiff1d(np.arange(len(groups)), taken)
    counts = np.bincount(groups[taken], minlength=int(groups.max()) + 1)
    candidates = free[counts[groups[free]] == counts[groups[free]].min()]
    return candidates, np.setdiff1d(free, candidates)


def grouped_picks(points: Points, rule: Rule, alpha: float, budget: int, labeled: IntArray, groups: IntArray) -> Picks:
    """``budget`` picks with one alpha.

    Args:
        labeled: places that count as picked already.
        groups: (N,) number of the group of every place, from 0.
    """
    picks: Picks | None = None
    taken = labeled
    while picks is None or len(picks.indices) < budget:
        candidates, others = candidates_of(groups, taken)
        steps = LockStep(points, rule, np.array([alpha]), taken, others)
        wanted = len(np.unique(groups[candidates]))
        for _ in range(min(wanted, budget - (0 if picks is None else len(picks.indices)))):
            best = steps.advance()
            candidates = candidates[candidates != best]
            for mate in candidates[groups[candidates] == groups[best]]:
                steps.close(np.array([mate]))
        steps.nearest.catch_up()
        found = steps.picks(0)
        picks = found if picks is None else picks.followed_by(found)
        taken = np.concatenate([labeled, picks.indices])
    return picks
