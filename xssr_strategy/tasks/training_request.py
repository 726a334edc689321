"""Settings as viewers send them -> settings of the right type.

3D Slicer sends every setting of a trainer, an emptied field as empty text; OHIF and the command line may send numbers
as text; a client that sends nothing leaves the list of choices in place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from xssr_strategy.errors import UserError

_SHOWN = 60  # characters of a bad value, in a sentence (our choice)


def parse_training_request(defaults: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """The request over the defaults, each setting of its default's type.

    Args:
        defaults: setting -> bool, int, float, or a list of text, which is a choice whose first entry is the default.
        request: what a client sent; keys that are no settings are passed on as they are.

    Raises:
        UserError: a value of another type, or a choice that is not on offer.
    """
    return {**request, **{key: _resolve(key, default, request.get(key)) for key, default in defaults.items()}}


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Whether a training can be run with these settings.

    Raises:
        UserError: a number is out of range.
    """
    for key in ("max_epochs", "steps_per_epoch", "train_batch_size"):
        if settings[key] < 1:
            raise UserError(f"training setting {key}: {settings[key]} is too small; use 1 or more")
    if not 0 <= settings["val_split"] < 1:
        raise UserError(f"training setting val_split: {settings['val_split']} is not a share; use 0 to below 1")
    if not 0 <= settings["seed"] < 2**32:
        raise UserError(f"training setting seed: {settings['seed']} is out of range; use 0 to {2**32 - 1}")


def _resolve(key: str, default: Any, value: Any) -> Any:
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None or value == "":
        return default[0] if isinstance(default, list) else default
    if isinstance(default, list):
        if value not in default:
            raise UserError(f"training setting {key}: {_shown(value)} is not one of {', '.join(default)}")
        return value
    if isinstance(default, bool):
        text = str(value).lower()
        if text not in ("true", "false"):
            raise UserError(f"training setting {key}: {_shown(value)} is not true or false")
        return text == "true"
    return _number(key, value, type(default))


def _number(key: str, value: Any, kind: type) -> int | float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or (kind is int and not number.is_integer()):
        raise UserError(
            f"training setting {key}: {_shown(value)} is not {'a whole number' if kind is int else 'a number'}"
        )
    return int(number) if kind is int else number


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
