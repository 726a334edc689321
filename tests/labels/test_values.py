from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.labels.values import EMPTY, checked_numbers, remark


@pytest.mark.parametrize("value", [0.03, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("names", [("lung",), ("a", "b")])
def test_what_is_no_label_number_is_refused(value: float, names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=f"holds the value {value:g}"):
        checked_numbers(np.array([0.0, 1.0, value]), names)


def test_numbers_beyond_several_labels_are_refused() -> None:
    with pytest.raises(UserError, match="holds the value 3 but the labels a,b are the numbers 1 to 2"):
        checked_numbers(np.array([0, 1, 3]), ("a", "b"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_whole_numbers_of_every_type_are_taken(dtype: type) -> None:
    values = np.array([0, 1, 255], dtype)
    np.testing.assert_array_equal(checked_numbers(values, ("lung",)), [0, 1, 1])
    np.testing.assert_array_equal(checked_numbers(values[:2], ("a", "b")), [0, 1])


def test_rounding_of_scaled_files_is_tolerated() -> None:
    np.testing.assert_array_equal(checked_numbers(np.array([1e-4, 1.0004, 1.9996]), ("a", "b")), [0, 1, 2])


@pytest.mark.parametrize(
    ("values", "names", "told"),
    [
        ([0, 255], ("lung",), ""),
        ([0, 1, 2], ("a", "b"), ""),
        ([0, 0], ("a", "b"), EMPTY),
        ([0, 1e-5], ("lung",), EMPTY),
        ([0, 1, 2], ("lung",), "it holds 2 numbers (1, 2) and all of them count as lung"),
        ([*range(40)], ("lung",), "it holds 39 numbers (1, 2, 3, 4, ...)"),
    ],
)
def test_remarks(values: list[float], names: tuple[str, ...], told: str) -> None:
    found = remark(np.array(values), names)
    assert found.startswith(told)
    assert bool(found) == bool(told)
