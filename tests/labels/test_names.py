"""Segments are known by their names, whatever numbers a viewer gave them."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.labels.names import names_of_numbers, numbers_by_name, renumbered, says_nothing, segment_names
from xssr_strategy.labels.values import IGNORED

NAMES = ("liver", "tumour", "vessel")
VALUES = np.array([[0, 1, 2], [2, 1, 0]])


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ({1: "liver", 2: "tumour"}, [[0, 1, 2], [2, 1, 0]]),
        ({1: "Tumour", 2: " liver "}, [[0, 2, 1], [1, 2, 0]]),
        ({1: "vessel", 2: "tumour"}, [[0, 3, 2], [2, 3, 0]]),
        ({}, [[0, 1, 2], [2, 1, 0]]),
        ({1: "liver", 2: "tumour", 3: "something that is not drawn"}, [[0, 1, 2], [2, 1, 0]]),
        ({1: "ignore", 2: "liver"}, [[0, 4, 1], [1, 4, 0]]),
    ],
)
def test_values_follow_the_names(segments, expected) -> None:
    np.testing.assert_array_equal(renumbered(VALUES, segments, NAMES), expected)


def test_what_does_not_change_is_the_array_given() -> None:
    assert renumbered(VALUES, {1: "liver", 2: "tumour"}, NAMES) is VALUES
    assert renumbered(VALUES, {1: "whatever", 2: "name"}, ["organ"]) is VALUES
    soft = VALUES * 0.9  # refused as such, and not for its names
    assert renumbered(soft, {1: "tumour", 2: "liver"}, NAMES) is soft
    endless = np.array([0.0, np.inf])
    assert renumbered(endless, {1: "tumour"}, NAMES) is endless


def test_a_drawn_segment_that_is_no_label_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="The segment 'Segment_1' is none of the labels liver,tumour,vessel: rename"):
        renumbered(VALUES, {1: "liver", 2: "Segment_1"}, NAMES)
    with pytest.raises(UserError, match="The segment 'number 2' is none of the labels"):
        renumbered(VALUES, {1: "tumour"}, NAMES)


def test_one_label_among_other_names_is_told_apart() -> None:
    with pytest.raises(UserError, match="The segment 'liver' is none of the labels tumour"):
        renumbered(VALUES, {1: "liver", 2: "tumour"}, ["tumour"])
    merged = {1: "left lung", 2: "right lung"}
    assert renumbered(VALUES, merged, ["lung"]) is VALUES
    assert names_of_numbers(VALUES, merged | {3: "ignore"}, ["lung"]) == ("lung",)
    unseen = np.array([0, 1, 2, 3])
    np.testing.assert_array_equal(renumbered(unseen, merged | {3: "ignore"}, ["lung"]), [0, 1, 1, 2])
    assert names_of_numbers(unseen, merged | {3: "ignore"}, ["lung"]) == ("lung", "ignore")


def test_numbers_of_a_file_follow_their_names_of_then() -> None:
    drawn = np.array([0, 1, 2, 3], np.uint8)
    then = ("liver", "tumour", "ignore")
    np.testing.assert_array_equal(numbers_by_name(drawn, then, ("Tumour", "vessel", "liver")), [0, 3, 1, IGNORED])
    np.testing.assert_array_equal(numbers_by_name(drawn, then, ("foreground",)), [0, 1, 1, IGNORED])
    with pytest.raises(
        UserError, match=r"drawn as liver,tumour,ignore, and its liver is none of the labels tumour now"
    ):
        numbers_by_name(drawn, then, ("tumour",))
    np.testing.assert_array_equal(numbers_by_name(drawn[[0, 2]], then, ("tumour",)), [0, 1])  # liver was not drawn
    np.testing.assert_array_equal(numbers_by_name(drawn, ("lung", "lung", "ignore"), ("lung",)), [0, 1, 1, IGNORED])


@pytest.mark.parametrize("name", ["", "Segment_1", "Segment 12", "label2", "3", "unk", "Unknown", "foreground"])
def test_names_that_programs_make_up_tell_nothing(name) -> None:
    assert says_nothing(name)


@pytest.mark.parametrize("name", ["liver", "liver 1", "L1", "C7", "ignore"])
def test_names_of_structures_tell(name) -> None:
    assert not says_nothing(name)


@pytest.mark.parametrize(
    ("info", "names"),
    [
        ([{"name": "a", "idx": 2}, {"name": "b", "idx": 3}], {1: "a", 2: "b"}),
        ([{"name": "a", "idx": 2}, {"name": "b", "idx": 1}], {2: "a", 1: "b"}),
        ([{"name": "a", "idx": 3}, {"name": "b", "idx": "1"}], {1: "a", 2: "b"}),
        ({"name": "a"}, {1: "a"}),
        ([{"name": "a"}, {"name": ""}], {1: "a"}),
        (None, {}),
        ("a,b", {}),
        ([{"color": [1, 2, 3]}], {}),
        (["a"], {}),
    ],
)
def test_names_as_viewers_submit_them(info, names) -> None:
    assert segment_names(info) == names
