"""Segments are known by their names, whatever numbers a viewer gave them."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.labels.names import renumbered, segment_names

NAMES = ("liver", "tumour", "vessel")
VALUES = np.array([[0, 1, 2], [2, 1, 0]])


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["liver", "tumour"], [[0, 1, 2], [2, 1, 0]]),
        (["Tumour", " liver "], [[0, 2, 1], [1, 2, 0]]),
        (["vessel", "tumour"], [[0, 3, 2], [2, 3, 0]]),
        ([], [[0, 1, 2], [2, 1, 0]]),
        (["liver", "tumour", "something that is not drawn"], [[0, 1, 2], [2, 1, 0]]),
    ],
)
def test_values_follow_the_names(segments, expected) -> None:
    np.testing.assert_array_equal(renumbered(VALUES, segments, NAMES), expected)


def test_what_does_not_change_is_the_array_given() -> None:
    assert renumbered(VALUES, ["liver", "tumour"], NAMES) is VALUES
    assert renumbered(VALUES, ["whatever", "name"], ["organ"]) is VALUES


def test_a_drawn_segment_that_is_no_label_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="The segment 'Segment_1' is none of the labels liver,tumour,vessel: rename"):
        renumbered(VALUES, ["liver", "Segment_1"], NAMES)
    with pytest.raises(UserError, match="The segment 'number 2' is none of the labels"):
        renumbered(VALUES, ["tumour"], NAMES)


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ([{"name": "a", "idx": 2}, {"name": "b", "idx": 3}], ["a", "b"]),
        (None, []),
        ("a,b", []),
        ([{"color": [1, 2, 3]}], []),
        (["a"], []),
    ],
)
def test_names_as_viewers_submit_them(info, names) -> None:
    assert segment_names(info) == names
