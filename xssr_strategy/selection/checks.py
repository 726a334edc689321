"""Input of the library, checked where it comes in: vectors, values, row numbers, budgets.

NumPy reads a boolean mask as the numbers 0 and 1, cuts off fractions and drops the mask of a masked array; here such
input is understood, or refused with a sentence.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xssr_strategy.selection.backend import FloatArray, IntArray

Rows = Iterable[int] | NDArray[np.integer[Any]] | NDArray[np.bool_]
"""Row numbers, or a boolean mask with one value for each row."""


def checked_vectors(name: str, values: ArrayLike) -> NDArray[Any]:
    """The (N, D) vectors as an array of float32 or float64, not copied where it is a writable one.

    Raises:
        ValueError: no array of numbers, of another shape, empty, not finite, or masked.
    """
    vectors = _numbers(name, values, "fiub", "numbers with one row per image")
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"{name} must have the shape (images, dimensions), both at least 1; it has {vectors.shape}.")
    if vectors.dtype not in (np.float32, np.float64):
        vectors = vectors.astype(np.float32 if vectors.dtype.itemsize < 3 else np.float64)
    if min(vectors.strides) < 0:  # torch knows no such view
        vectors = np.ascontiguousarray(vectors)
    vectors = np.require(vectors, requirements="W")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"{name} row {row} holds NaN or infinity: leave that image out or embed it again.")
    return vectors


def checked_values(name: str, values: ArrayLike, unit: str = "image") -> FloatArray:
    """The (N,) numbers as float64; they may be NaN or infinite.

    Raises:
        ValueError: no array of numbers, of another shape, or masked.

    >>> checked_values("entropy", [1, 0.5]).tolist()
    [1.0, 0.5]
    >>> checked_values("entropy", [True, False])
    Traceback (most recent call last):
    ValueError: entropy must be an array of numbers with one value per image.
    """
    numbers = _numbers(name, values, "fiu", f"numbers with one value per {unit}").astype(np.float64)
    if numbers.ndim != 1:
        raise ValueError(f"{name} must have the shape ({unit}s,); it has {numbers.shape}.")
    return numbers


def checked_rows(name: str, rows: Rows, size: int) -> IntArray:
    """The row numbers, sorted, each once; a boolean mask names the rows where it is true.

    Raises:
        ValueError: neither whole numbers nor a mask of ``size`` values, out of range, or masked.

    >>> checked_rows("labeled", [3, 1, 3], size=5).tolist()
    [1, 3]
    >>> checked_rows("labeled", [False, True, False, True, False], size=5).tolist()
    [1, 3]
    >>> checked_rows("labeled", [7], size=5)
    Traceback (most recent call last):
    ValueError: labeled holds 7, but the rows of target run from 0 to 4.
    """
    numbers = _row_array(name, rows)
    if numbers.dtype.kind == "b":
        if len(numbers) != size:
            raise ValueError(
                f"{name} is a boolean mask of {len(numbers)} values, but target has {size} rows: give one for each row."
            )
        return np.flatnonzero(numbers)
    return np.unique(_in_range(name, numbers, size))


def checked_order(name: str, rows: Rows, size: int) -> IntArray:
    """The row numbers in the order in which they come; some may come twice.

    Raises:
        ValueError: not whole numbers, out of range, masked, or a boolean mask, which has no order.

    >>> checked_order("indices", [3, 1], size=5).tolist()
    [3, 1]
    """
    numbers = _row_array(name, rows)
    if numbers.dtype.kind == "b":
        raise ValueError(f"{name} must hold row numbers of target in pick order, not a boolean mask, which has none.")
    return _in_range(name, numbers, size)


def checked_budget(budget: int, available: int) -> int:
    """The budget as an int.

    Raises:
        ValueError: not a whole number from 1 to the number of images available.

    >>> checked_budget(3, available=5)
    3
    >>> checked_budget(9, available=5)
    Traceback (most recent call last):
    ValueError: budget 9 is not possible: it must be 1 to 5, the images not yet labelled.
    """
    if available == 0:
        raise ValueError("every row of target is labelled: nothing is left to pick.")
    count = whole_number("budget", budget, "a whole number of images")
    if not 1 <= count <= available:
        raise ValueError(f"budget {count} is not possible: it must be 1 to {available}, the images not yet labelled.")
    return count


def whole_number(name: str, value: int, what: str = "a whole number") -> int:
    """The value as an int; True and 1.0 are none.

    Raises:
        ValueError: not a whole number.
    """
    try:
        if _is_boolean(value):
            raise TypeError
        return operator.index(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {what}, not {value!r}.") from None


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a setting is a number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _numbers(name: str, values: ArrayLike, kinds: str, what: str) -> NDArray[Any]:
    """The values as an array.

    Raises:
        ValueError: its kind (``numpy.dtype.kind``) is none of ``kinds``, or entries are masked.
    """
    parts = values if isinstance(values, list | tuple) else [values]
    if any(np.ma.is_masked(part) for part in parts):
        raise ValueError(f"{name} has masked entries, which have no value: leave these images out or fill them in.")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in kinds:
            raise TypeError
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of {what}.") from None
    return array


def _row_array(name: str, rows: Rows) -> NDArray[Any]:
    """(R,) whole numbers or booleans; of kind O where a number is too large for NumPy."""
    if np.ma.is_masked(rows):
        raise ValueError(f"{name} has masked entries, which name no row: leave them out, as compressed() does.")
    try:
        if hasattr(rows, "__array__"):
            array = np.asarray(rows)
            if array.ndim != 1:
                raise TypeError
            if array.dtype.kind in "iub":
                return array
            rows = array.tolist()  # numbers and booleans of pandas are objects
        items = list(rows)
        masks = sum(_is_boolean(item) for item in items)
        if 0 < masks < len(items):
            raise TypeError
        return np.array([bool(item) if masks else operator.index(item) for item in items])
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold row numbers of target, as integers, or be a boolean mask.") from None


def _is_boolean(item: Any) -> bool:
    return isinstance(item, bool | np.bool_) or (hasattr(item, "dtype") and np.asarray(item).dtype.kind == "b")


def _in_range(name: str, numbers: NDArray[Any], size: int) -> IntArray:
    for wrong in (numbers[numbers < 0], numbers[numbers >= size]):
        if len(wrong):
            raise ValueError(f"{name} holds {wrong[0]}, but the rows of target run from 0 to {size - 1}.")
    return numbers.astype(np.intp)
