"""XSSR with groups: images of one patient are nearly the same, so none has a second before every patient has one.

    candidates  of the groups that have an image left, those with the fewest picks and labels; of these all images left

Everything else is as in :mod:`xssr_strategy.selection.xssr`: the scales of density and novelty are those of the
candidates, and the whole pool counts for density and coverage.
"""

from __future__ import annotations

import numpy as np

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.base import Picks
from xssr_strategy.selection.greedy import LockStep, Rule
from xssr_strategy.selection.points import Points


def grouped_picks(points: Points, rule: Rule, alpha: float, budget: int, labeled: IntArray, groups: IntArray) -> Picks:
    """``budget`` picks with one alpha.

    Args:
        labeled: places that count as picked already.
        groups: (N,) number of the group of every place, from 0.
    """
    picks: Picks | None = None
    taken = labeled
    while picks is None or len(picks.indices) < budget:
        free = np.setdiff1d(np.arange(points.size), taken)
        counts = np.bincount(groups[taken], minlength=int(groups.max()) + 1)
        candidates = free[counts[groups[free]] == counts[groups[free]].min()]
        steps = LockStep(points, rule, np.array([alpha]), taken, np.setdiff1d(free, candidates))
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
