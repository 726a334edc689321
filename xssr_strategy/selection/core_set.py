"""CoreSet: k-centre greedy (Sener and Savarese 2018, arXiv 1708.00489)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import IntArray
from xssr_strategy.selection.base import Picks, Selector
from xssr_strategy.selection.nearest import NearestPick
from xssr_strategy.selection.points import TIE, Points

_ACTIVE = 128  # points kept up to date pick by pick
_BLOCK = 16  # picks after which all others catch up


def k_centre_greedy(points: Points, budget: int, labeled: IntArray) -> Picks:
    """Pick again and again the point that is farthest from all picks.

    A 2-approximation of the smallest covering radius. With nothing labelled, the first pick is the
    point nearest to the mean (our choice; the paper starts from labelled images) with score 0. The
    score of every other pick is its distance to the nearest pick before it. Ties go to the first
    point in canonical order.

    Distances to picks only shrink. So the next pick is among the points that are farthest now, for as
    long as one of them stays farther than all the others were. The distances between these few are at
    hand; all others catch up with several picks in one matrix product.
    """
    nearest = NearestPick(points, 1, labeled)
    tolerance = 4.0 * points.rounding * points.largest
    closed = np.zeros(points.size, dtype=bool)
    closed[labeled] = True
    indices: list[int] = []
    squares: list[float] = []
    known = 0  # picks that ``nearest`` knows of

    def catch_up() -> None:
        nonlocal known
        nearest.add(np.array([indices[known:]], dtype=np.intp))
        known = len(indices)

    def pick(place: int, squared: float) -> None:
        indices.append(place)
        squares.append(squared)
        closed[place] = True

    if not len(labeled):
        pick(_central(points), 0.0)
    while len(indices) < budget:
        catch_up()
        nearest.catch_up()
        everyone = np.square(points.backend.numpy(nearest.distance[0]))
        active = _largest(everyone, _ACTIVE)
        squared = np.where(closed[active], -np.inf, everyone[active])
        others = everyone[active].min() if len(active) < points.size else -np.inf
        coordinates, lengths = points.coordinates[active], points.squares[active]
        between = points.squared_to(active, coordinates, lengths)
        for step in range(min(_BLOCK, budget - len(indices))):
            top = squared.max()
            if top - tolerance > others:
                rivals = active[squared >= top - tolerance]
            elif step == 0:
                rivals = np.flatnonzero(everyone >= top - tolerance)
            else:
                break
            if len(rivals) > 1:
                rivals = rivals[~closed[rivals]]
                catch_up()
                distance = nearest.exact(0, rivals)
                rivals = rivals[distance >= distance.max() * (1.0 - TIE)]
                top = distance.max() ** 2
            place = int(rivals[0])
            pick(place, float(top))
            position = int(np.searchsorted(active, place)) % len(active)
            if active[position] == place:
                np.minimum(squared, between[position], out=squared)
                squared[position] = -np.inf
            else:  # of several that tie at the start of a block
                row = points.squared_to(np.array([place]), coordinates, lengths)[0]
                np.minimum(squared, row, out=squared)
    catch_up()
    nearest.catch_up()
    scores = np.sqrt(np.maximum(np.array(squares, dtype=np.float64), 0.0)) * points.unit
    return Picks(np.array(indices), scores, distances=nearest.distances(0))


def _largest(values: NDArray[np.floating], count: int) -> IntArray:
    """Positions of the ``count`` largest values, ascending; all of them if there are no more."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.sort(np.argpartition(values, -count)[-count:])


def _central(points: Points) -> int:
    """The point nearest to the mean of all."""
    # The coordinates may start from a rounded mean.
    shift = float(np.linalg.norm(points.mean - points.centre)) / points.unit
    length = np.sqrt(points.backend.numpy(points.squares).astype(np.float64))
    rivals = np.flatnonzero(length <= length.min() * (1.0 + 4.0 * points.rounding) + 2.0 * shift + 1e-30)
    distance = np.linalg.norm(points.rows(rivals) - points.mean / points.unit, axis=1)
    return int(rivals[np.argmax(distance <= distance.min() + TIE * np.sqrt(points.largest))])


class CoreSet(Selector):
    """k-centre greedy: each pick is the image farthest from all picks so far.

    Args:
        device: None for NumPy, or a torch device such as ``"cuda"``; the picks are the same.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = device

    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        return k_centre_greedy(points, budget, labeled)
