"""The request for a next sample: its texts are checked before the app is asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from xssr_strategy.datastores.bodies import parse_body
from xssr_strategy.web.bodies import NextSampleBody
from xssr_strategy.web.request_checks import patch_endpoint


def check_next_samples() -> None:
    """From here on a request for a sample whose texts are none, or too long, is refused (422)."""
    patch_endpoint("activelearning", "sample", _checked)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def sample(strategy: str, params: dict[str, Any] | None = None, user: str | None = None) -> Any:
        parse_body(NextSampleBody, {"strategy": strategy, **(params or {})})
        return function(strategy, params, user)

    return sample
