"""What all selectors share: checked input, an order of the pool that is its own, and the result."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xssr_strategy.selection.distance import nearest_distance

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Picks:
    """What a selector's mathematics gives back, before coverage is measured.

    ``indices`` (B,) in pick order, ``scores`` (B,), ``terms`` name -> (B,); ``alpha`` and
    ``calibration`` as in :class:`Selection`.
    """

    indices: IntArray
    scores: FloatArray
    terms: Mapping[str, FloatArray] = field(default_factory=dict)
    alpha: float | None = None
    calibration: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Selection:
    """The images to annotate, in order, and why.

    Attributes:
        indices: (B,) rows of ``target`` in pick order.
        scores: (B,) the score with which each pick won.
        terms: name -> (B,) the terms of the score, each as it entered the score (in [0, 1]).
        alpha: the novelty-diversity trade-off in force, or None if the selector has none.
        calibration: (alpha, mean_coverage, max_coverage) for every alpha tried; empty if none was.
        mean_coverage: mean over the pool of the distance to the nearest pick or labelled image.
        max_coverage: the largest of these distances, the covering radius.
    """

    indices: IntArray
    scores: FloatArray
    terms: Mapping[str, FloatArray]
    alpha: float | None
    calibration: tuple[tuple[float, float, float], ...]
    mean_coverage: float
    max_coverage: float


class Selector(ABC):
    """A rule that picks the images of a pool worth annotating."""

    def select(
        self,
        target: ArrayLike,
        budget: int,
        source: ArrayLike | None = None,
        labeled: Sequence[int] | IntArray = (),
    ) -> Selection:
        """Pick ``budget`` rows of ``target``.

        The result does not depend on the order, dtype or memory layout of the rows; rows that are
        equal are interchangeable.

        Args:
            target: (N, D) finite vectors of the pool.
            budget: number of picks, 1 to the number of rows that are not labelled.
            source: (M, D) finite vectors of the source domain, or None.
            labeled: rows of ``target`` that are annotated already; they count as picks for diversity
                and coverage and are never returned.

        Raises:
            ValueError: one sentence that says which argument is wrong and what is allowed.
        """
        vectors = _vectors("target", target)
        reference = None if source is None else _vectors("source", source)
        if reference is not None and reference.shape[1] != vectors.shape[1]:
            raise ValueError(
                f"source has {reference.shape[1]} dimensions and target {vectors.shape[1]}: "
                "embed both with the same encoder."
            )
        known = _labeled(labeled, len(vectors))
        count = _budget(budget, len(vectors) - len(known))

        # The mathematics sees the rows in an order of their own, so ties and rounding do not
        # depend on how the caller listed them.
        order = canonical_order(vectors)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        sorted_target = vectors[order]
        sorted_source = None if reference is None else reference[canonical_order(reference)]
        sorted_known = np.sort(place[known])

        picks = self._pick(sorted_target, count, sorted_source, sorted_known)
        chosen = np.concatenate([sorted_known, picks.indices])
        distance = nearest_distance(sorted_target, sorted_target[chosen])
        return Selection(
            indices=order[picks.indices],
            scores=picks.scores,
            terms=dict(picks.terms),
            alpha=picks.alpha,
            calibration=picks.calibration,
            mean_coverage=float(distance.mean()),
            max_coverage=float(distance.max()),
        )

    @abstractmethod
    def _pick(self, target: FloatArray, budget: int, source: FloatArray | None, labeled: IntArray) -> Picks:
        """The rule itself, on checked (N, D) and (M, D) float64 arrays in canonical order."""


def canonical_order(vectors: FloatArray) -> IntArray:
    """Row order by the bytes of the rows: the same for every listing of the same rows."""
    rows = np.ascontiguousarray(vectors + 0.0)  # -0.0 becomes 0.0
    return np.argsort(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel(), kind="stable")


def _vectors(name: str, values: ArrayLike) -> FloatArray:
    try:
        vectors = np.asarray(values)
        if vectors.dtype.kind not in "fiub":
            raise TypeError
        vectors = vectors.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of numbers with one row per image.") from None
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"{name} must have the shape (images, dimensions), both at least 1; it has {vectors.shape}.")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"{name} row {row} holds NaN or infinity: leave that image out or embed it again.")
    return vectors


def _labeled(labeled: Sequence[int] | IntArray, size: int) -> IntArray:
    try:
        known = np.unique([operator.index(i) for i in labeled]).astype(np.intp)
    except TypeError:
        raise ValueError("labeled must hold row numbers of target, as integers.") from None
    if len(known) and (known[0] < 0 or known[-1] >= size):
        wrong = int(known[0] if known[0] < 0 else known[-1])
        raise ValueError(f"labeled holds {wrong}, but the rows of target run from 0 to {size - 1}.")
    return known


def _budget(budget: int, available: int) -> int:
    try:
        if isinstance(budget, bool):
            raise TypeError
        count = operator.index(budget)
    except TypeError:
        raise ValueError(f"budget must be a whole number of images, not {budget!r}.") from None
    if not 1 <= count <= available:
        raise ValueError(f"budget {count} is not possible: it must be 1 to {available}, the images not yet labelled.")
    return count
