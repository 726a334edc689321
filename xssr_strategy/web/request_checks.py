"""Checks of what is sent, before MONAI Label's endpoints get it: JSON, names and uploaded files."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from fastapi import HTTPException
from starlette.datastructures import UploadFile

from xssr_strategy.web.uploads import check_upload

_LARGEST = 64 << 10  # bytes of JSON (our choice): a viewer sends a few hundred
_FORM_FIELDS = ("params", "info")  # of forms: JSON as text

# The functions behind the routes. Routes look them up at each request, so that a function put in their place is called.
_VALIDATED = {
    "activelearning": ("sample",),
    "scoring": ("run", "run_method"),
    "train": ("run", "run_model"),
    "batch_infer": ("run",),
    "infer": ("run_inference",),
    "wsi_infer": ("run_wsi_inference",),
    "datastore": ("add_image", "save_label", "update_image_info", "update_label_info"),
    "model": ("update_model",),
    "session": ("create_session",),
}
_originals: dict[tuple[str, str], Callable[..., Any]] = {}


def patch_endpoint(module: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put ``make(function)`` in place of a function of ``monailabel.endpoints``, once however often it is asked for."""
    endpoint = sys.modules.get(f"monailabel.endpoints.{module}")
    if endpoint is not None:  # a background process is asked by nobody
        key = module, f"{name} {make.__module__}"
        setattr(endpoint, name, make(_originals.setdefault(key, getattr(endpoint, name))))


def validate_requests() -> None:
    """From here on a request that nobody can make sense of is answered with 413 or 422 and a sentence.

    MONAI Label 0.8.5 takes JSON of any shape, and answers 500 wherever the shape matters; it keeps text that is no
    Unicode and numbers that are not finite, and fails whenever it is asked for them.
    """
    for module, names in _VALIDATED.items():
        for name in names:
            patch_endpoint(module, name, _validated)


def _validated(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @wraps(function)
    def validated(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            _check(name, value)
        return function(*args, **kwargs)

    return validated


def _check(name: str, value: Any) -> None:
    if isinstance(value, dict):
        check_content(value)
    elif isinstance(value, str):
        if "\0" in value:
            raise HTTPException(422, f"{name}: holds a zero byte, which is part of no name.")
        if name in _FORM_FIELDS and value:
            check_content(json_object(name, value))
    elif isinstance(value, UploadFile):
        check_upload(value)
    elif isinstance(value, list):
        for one in value:
            _check(name, one)


def json_object(name: str, text: str) -> dict[str, Any]:
    """The JSON object of a form field.

    Raises:
        HTTPException: it is none (422).
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, f"{name}: not JSON ({str(error)[:100]}); send an object such as {{}}.") from None
    if not isinstance(value, dict):
        raise HTTPException(422, f"{name}: must be a JSON object, such as {{}}.")
    return value


def check_content(value: dict[str, Any]) -> None:
    """Refuse JSON that cannot be kept or sent back.

    Raises:
        HTTPException: it is too large (413), or holds text that is no Unicode or numbers that are not finite (422).
    """
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except UnicodeEncodeError:
        raise HTTPException(422, "The request holds half a character (a lone surrogate); send Unicode.") from None
    except (ValueError, RecursionError):
        raise HTTPException(422, "The request holds a number that is not finite, or is nested too deep.") from None
    if size > _LARGEST:
        raise HTTPException(413, f"The request has {size} bytes of JSON; send {_LARGEST} at most.")
