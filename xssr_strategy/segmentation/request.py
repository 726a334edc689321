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


def resolved(defaults: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """The request over the defaults, each setting of its default's type.

    Args:
        defaults: setting -> bool, int, float, or a list of text, which is a choice whose first entry is the default.
        request: what a client sent; keys that are no settings are passed on as they are.

    Raises:
        UserError: a value of another type, or a choice that is not on offer.
    """
    return {**request, **{key: _resolve(key, default, request.get(key)) for key, default in defaults.items()}}


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
