"""Vectors as the selectors see them: float32 finds, float64 decides.

A distance to all N points is one float32 matrix product, half the memory traffic of float64 and what a GPU is fast
at. Its rounding error is bounded, so the few points among which it cannot tell the best are known, and only these are
compared by float64 differences. The picks are those of float64 arithmetic, on every machine and device, as long as
float32 can tell the vectors apart at all: a vector ten thousand times farther out than the others are from each other
makes their neighbours, and so the density, approximate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.backend import Backend, FloatArray, IntArray

TIE = 1e-12
"""Values closer than this, relative to their scale, are ties: float64 sums round differently on every machine."""

_BLOCK = 1 << 20  # elements of a temporary array
_CACHED = 1 << 16  # elements of one that is to stay in a processor's cache
_FEW, _SEVERAL = 3, 24  # picks up to which one product for each, or the product turned round, is fastest
_PANEL = 1 << 13  # points multiplied at once: the matrix product needs working memory for them
_CANCELLED = 2e-3  # share of two squared lengths below which their squared distance counts as cancelled


class Points:
    """(N, D) vectors in canonical order, which does not depend on how the caller listed them.

    Args:
        values: (N, D) finite numbers; neither copied nor modified.
        backend: where the float32 copy lives.
        like: points with whose origin and unit these are to be compared; their own by default.
        beside: (M, D) other vectors that this origin and unit are to serve.

    Attributes:
        order: (N,) canonical place -> row of ``values``.
        mean: (D,) float64.
        centre: (D,) float64 origin of the coordinates, the mean, for float32 values rounded to float32.
        unit: length that counts as 1 below; other than 1 only where squares would leave float32's range.
        coordinates: (N, D) float32 on the backend, centred.
        squares: (N,) float32 on the backend, their squared lengths.
        largest: the largest of ``squares``.
        rounding: |squared - true squared distance| of points i and j is at most ``rounding`` * (squares[i] +
            squares[j]). It grows as the probabilistic bound of Higham and Mary (2019, doi 10.1137/18M1226312); the
            constants are ours, above what was seen up to 4,096 dimensions.
    """

    def __init__(
        self,
        values: NDArray[Any],
        backend: Backend,
        like: Points | None = None,
        beside: NDArray[Any] | None = None,
    ) -> None:
        self.values = values
        self.backend = backend
        self.order = canonical_order(values)
        self.size, self.dimensions = values.shape
        self.mean: FloatArray = values.mean(axis=0, dtype=np.float64) if like is None else like.mean
        self.centre: FloatArray = _centre(self.mean, values.dtype) if like is None else like.centre
        self.unit: float = 1.0 if like is None else like.unit
        self.rounding = (np.sqrt(self.dimensions) + 8.0) * 2.0**-24
        with np.errstate(over="ignore", invalid="ignore"):
            coordinates, squares = self._centred()
            reach = 0.0 if beside is None else float(np.square(beside - self.centre).sum(axis=1).max())
        if like is None and not (1e-20 < squares.max() < 1e20 and reach < 1e20):
            extent = max(float(np.abs(other - self.centre).max()) for other in (values, beside) if other is not None)
            if extent > 0.0:
                self.unit = float(2.0 ** np.floor(np.log2(extent)))
                coordinates, squares = self._centred()
        self.largest = float(squares.max())
        self._near = backend.array(_CANCELLED * squares)
        self.coordinates, self.squares = backend.array(coordinates), backend.array(squares)

    def places(self, rows: IntArray) -> IntArray:
        """Canonical places of rows of the caller's array, ascending."""
        if not len(rows):
            return rows
        place = np.empty_like(self.order)
        place[self.order] = np.arange(self.size)
        return np.sort(place[rows])

    def rows(self, places: IntArray | slice) -> FloatArray:
        """(R, D) float64 vectors at these places, in units, as the caller gave them."""
        vectors: FloatArray = self.values[self.order[places]].astype(np.float64)
        return vectors if self.unit == 1.0 else vectors / self.unit

    def squared(self, places: IntArray) -> tuple[Any, NDArray[np.float32]]:
        """(P, N) float32 squared distances from the points at ``places`` (P,) to all, and (P,) the least to another.

        Where the subtraction would cancel three digits and more, at near-duplicates, float64 differences replace it.
        """
        rows, xp = self.backend.empty((len(places), self.size)), self.backend.xp
        factors = -2.0 * self.coordinates[places]
        if len(places) <= _FEW:
            for row, factor in zip(rows, factors, strict=True):
                xp.matmul(self.coordinates, factor, out=row)
            rows += self.squares
        else:
            columns = self.backend.columns(factors)
            for begin in range(0, self.size, _PANEL):
                coordinates, squares = self.coordinates[begin : begin + _PANEL], self.squares[begin : begin + _PANEL]
                block = rows[:, begin : begin + _PANEL]
                if len(places) <= _SEVERAL:
                    # A few columns are multiplied fastest from this side; the result is turned while the rest is added.
                    xp.add((coordinates @ columns).T, squares, out=block)
                else:
                    xp.matmul(factors, coordinates.T, out=block)
                    block += squares
        rows += self.squares[places][:, None]
        rows[np.arange(len(places)), places] = np.inf
        least = xp.amin(rows, 1)
        if float(least.min()) <= 2.0 * _CANCELLED * self.largest:
            self._refine(rows, places)
            least = xp.amin(rows, 1)
        rows[np.arange(len(places)), places] = 0.0
        return rows, self.backend.numpy(least)

    def _refine(self, rows: Any, places: IntArray) -> None:
        """Replace squared distances (P, N) that have cancelled by float64 differences."""
        unsure = self.backend.flatnonzero((rows <= self._near + _CANCELLED * self.squares[places][:, None]).ravel())
        step = max(1, _BLOCK // self.dimensions)
        for begin in range(0, len(unsure), step):
            pick, place = np.divmod(unsure[begin : begin + step], self.size)
            difference = self.rows(place) - self.rows(places[pick])
            exact = np.einsum("ud,ud->u", difference, difference).astype(np.float32)
            rows[pick, place] = self.backend.array(exact)

    def error(self, low: Any, high: Any) -> Any:
        """Bound on the error of float32 distances between ``low`` and ``high``."""
        # Squared distances that would have cancelled further are exact, so no error is a larger share of its distance.
        share = self.rounding / (1.9 * _CANCELLED)
        absolute = 2.0 * self.rounding * self.largest / 1.9
        least = np.maximum(low, np.sqrt(2.0 * _CANCELLED * self.largest) + 1e-30)
        return np.minimum(absolute / least, share * high)

    def squared_to(self, places: IntArray, coordinates: Any, squares: Any) -> NDArray[np.float32]:
        """(P, O) float32 squared distances, as rounding left them, from few points to others; in memory."""
        squared = self.squares[places][:, None] + squares - 2.0 * (self.coordinates[places] @ coordinates.T)
        between: NDArray[np.float32] = self.backend.numpy(squared)
        return between

    def _centred(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Coordinates and squares in memory."""
        coordinates = np.empty(self.values.shape, dtype=np.float32)
        squares = np.empty(self.size, dtype=np.float32)
        step = max(1, _CACHED // self.dimensions)
        square = np.empty((step, self.dimensions), dtype=np.float32)
        for begin in range(0, self.size, step):
            order, block = self.order[begin : begin + step], coordinates[begin : begin + step]
            if self.values.dtype == np.float32 and self.unit == 1.0:  # need not be converted
                np.take(self.values, order, axis=0, out=block, mode="clip")
                block -= self.centre.astype(np.float32)
            else:
                block[:] = (self.values[order] - self.centre) / self.unit
            # Summed in pairs: equal terms, one after the other, would all be rounded the same way.
            np.square(block, out=square[: len(block)]).sum(axis=1, out=squares[begin : begin + step])
        return coordinates, squares


def _centre(mean: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """The mean, rounded for float32 values, from which they are then subtracted in float32."""
    return mean.astype(np.float32).astype(np.float64) if dtype == np.float32 else mean


def canonical_order(values: NDArray[Any]) -> IntArray:
    """Order of the rows by their numbers, first column first: the same for every listing of the same rows."""
    order: IntArray = np.argsort(values[:, 0], kind="stable")
    first = values[order, 0]
    same = first[1:] == first[:-1]
    if same.any():
        tied = order[np.append(same, False) | np.append(False, same)]
        order[np.append(same, False) | np.append(False, same)] = tied[np.lexsort(values[tied].T[::-1])]
    return order
