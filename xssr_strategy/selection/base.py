"""What all selectors share: checked input, an order of the pool that is its own, and the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from xssr_strategy.selection.backend import FloatArray, IntArray, backend_on
from xssr_strategy.selection.checks import Rows, checked_budget, checked_rows, checked_vectors
from xssr_strategy.selection.nearest import NearestPick
from xssr_strategy.selection.points import Points


@dataclass(frozen=True)
class Picks:
    """What a selector's mathematics gives back.

    ``indices`` (B,) places in pick order, ``scores`` (B,), ``terms`` name -> (B,); ``alpha`` and ``calibration`` as
    in :class:`Selection`; ``distances`` (N,) to the nearest pick or labelled point, if they are known already;
    ``clusters`` (N,) numbers by place, and ``silhouettes`` as in :class:`Selection`.
    """

    indices: IntArray
    scores: FloatArray
    terms: Mapping[str, FloatArray] = field(default_factory=dict)
    alpha: float | None = None
    calibration: tuple[tuple[float, float, float], ...] = ()
    distances: FloatArray | None = None
    clusters: IntArray | None = None
    silhouettes: tuple[tuple[int, float], ...] = ()

    def first(self, count: int) -> Picks:
        """The first picks alone."""
        terms = {name: values[:count] for name, values in self.terms.items()}
        return Picks(self.indices[:count], self.scores[:count], terms, self.alpha)

    def followed_by(self, others: Picks) -> Picks:
        """These and then the others."""
        terms = {name: np.concatenate([values, others.terms[name]]) for name, values in self.terms.items()}
        indices = np.concatenate([self.indices, others.indices])
        scores = np.concatenate([self.scores, others.scores])
        return Picks(indices, scores, terms, self.alpha, distances=others.distances)


@dataclass(frozen=True)
class Selection:
    """The images to annotate, in order, and why.

    Attributes:
        indices: (B,) rows of ``target`` in pick order.
        scores: (B,) the score with which each pick won, to about six digits.
        terms: name -> (B,) the terms of the score, each as it entered the score (in [0, 1]).
        alpha: the novelty-diversity trade-off in force, or None if the selector has none.
        calibration: (alpha, mean_coverage, max_coverage) for every alpha tried; empty if none was.
        mean_coverage: mean over the pool of the distance to the nearest pick or labelled image.
        max_coverage: the largest of these distances, the covering radius.
        clusters: (N,) number of the cluster of every row of ``target``, or None if the selector has none.
        silhouettes: (number of clusters, mean silhouette) for every number tried; empty if none was.

    >>> from xssr_strategy.selection import CoreSet
    >>> selection = CoreSet().select([[0.0], [1.0], [2.0], [10.0]], budget=1, labeled=[1])
    >>> selection.indices.tolist()  # the image farthest from what is labelled
    [3]
    >>> round(selection.mean_coverage, 2)  # distances 1, 0, 1 and 0 to the nearest labelled image or pick
    0.5
    >>> round(selection.max_coverage, 2)
    1.0
    """

    indices: IntArray
    scores: FloatArray
    terms: Mapping[str, FloatArray]
    alpha: float | None
    calibration: tuple[tuple[float, float, float], ...]
    mean_coverage: float
    max_coverage: float
    clusters: IntArray | None = None
    silhouettes: tuple[tuple[int, float], ...] = ()


class Selector(ABC):
    """A rule that picks the images of a pool worth annotating.

    A selector of one's own has ``_pick``; :meth:`select` checks the input and measures the coverage:

    >>> from xssr_strategy.selection.base import Picks, Selector
    >>> class First(Selector):
    ...     def _pick(self, points, budget, source, labeled):
    ...         free = np.setdiff1d(np.arange(points.size), labeled)  # places in an order that the pool decides
    ...         return Picks(free[:budget], np.zeros(budget))
    >>> selection = First().select([[0.0], [1.0], [5.0]], budget=2, labeled=[1])
    >>> sorted(selection.indices.tolist())
    [0, 2]
    """

    device: str | None = None

    def select(
        self,
        target: ArrayLike,
        budget: int,
        source: ArrayLike | None = None,
        labeled: Rows = (),
    ) -> Selection:
        """Pick ``budget`` rows of ``target``.

        The result does not depend on the order, dtype or memory layout of the rows; rows that are
        equal are interchangeable.

        Args:
            target: (N, D) finite vectors of the pool; no entry may be masked.
            budget: number of picks, 1 to the number of rows that are not labelled.
            source: (M, D) finite vectors of the source domain, or None.
            labeled: rows of ``target`` that are annotated already, as numbers or as a boolean mask; they count as
                picks for diversity and coverage and are never returned.

        Raises:
            ValueError: one sentence that says which argument is wrong and what is allowed.
        """
        points, reference, places = self.checked(target, source, labeled)
        count = checked_budget(budget, points.size - len(places))
        return result(points, self._pick(points, count, reference, places), places)

    def checked(
        self, target: ArrayLike, source: ArrayLike | None, labeled: Rows
    ) -> tuple[Points, Points | None, IntArray]:
        """The points of target and source, and the places of the labelled rows.

        Raises:
            ValueError: as :meth:`select`.
        """
        vectors = checked_vectors("target", target)
        reference = None if source is None else checked_vectors("source", source)
        if reference is not None and reference.shape[1] != vectors.shape[1]:
            raise ValueError(
                f"source has {reference.shape[1]} dimensions and target {vectors.shape[1]}: "
                "embed both with the same encoder."
            )
        known = checked_rows("labeled", labeled, len(vectors))
        backend = backend_on(self.device)
        points = Points(vectors, backend, beside=reference)
        return points, None if reference is None else Points(reference, backend, points), points.places(known)

    @abstractmethod
    def _pick(self, points: Points, budget: int, source: Points | None, labeled: IntArray) -> Picks:
        """The rule itself, on checked input; it sees and names points by their place in the canonical order."""


def result(points: Points, picks: Picks, labeled: IntArray) -> Selection:
    """The picks in the caller's rows, and how they cover the pool."""
    distances = picks.distances
    if distances is None:
        distances = NearestPick(points, 1, np.concatenate([labeled, picks.indices])).distances(0)
    clusters = None
    if picks.clusters is not None:
        clusters = np.empty_like(picks.clusters)
        clusters[points.order] = picks.clusters
    return Selection(
        indices=points.order[picks.indices],
        scores=picks.scores,
        terms=dict(picks.terms),
        alpha=picks.alpha,
        calibration=picks.calibration,
        mean_coverage=float(distances.mean()),
        max_coverage=float(distances.max()),
        clusters=clusters,
        silhouettes=picks.silhouettes,
    )
