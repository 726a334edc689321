from __future__ import annotations

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.tasks.training_request import parse_training_request

DEFAULTS = {"epochs": 40, "share": 0.2, "warm": False, "kind": ["disk", "memory"]}


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ({}, (40, 0.2, False, "disk")),
        ({"epochs": "50", "share": "0.5", "warm": "True", "kind": "memory"}, (50, 0.5, True, "memory")),
        ({"epochs": "", "share": None, "warm": "", "kind": []}, (40, 0.2, False, "disk")),
        ({"epochs": 7.0, "share": 0, "warm": True, "kind": ["memory", "disk"]}, (7, 0.0, True, "memory")),
    ],
)
def test_settings_take_the_type_of_their_default(request_: dict, wanted: tuple) -> None:
    settings = parse_training_request(DEFAULTS, request_)
    assert tuple(settings.values()) == wanted
    assert [type(value) for value in settings.values()] == [int, float, bool, str]


def test_other_keys_are_passed_on() -> None:
    assert parse_training_request(DEFAULTS, {"client_id": ["a"]})["client_id"] == ["a"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("epochs", "1.5"), ("epochs", "many"), ("share", "nan"), ("warm", "perhaps"), ("kind", "tape"), ("epochs", {})],
)
def test_a_value_of_another_type_is_named(key: str, value: object) -> None:
    with pytest.raises(UserError, match=f"training setting {key}: "):
        parse_training_request(DEFAULTS, {key: value})
