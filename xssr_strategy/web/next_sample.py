"""The request for a next sample: its texts are checked, and the app is asked for nothing but the sample."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.exception import ImageNotFoundException
from monailabel.interfaces.utils.app import app_instance

from xssr_strategy.datastores.bodies import parse_body
from xssr_strategy.web.bodies import NextSampleBody
from xssr_strategy.web.request_checks import patch_endpoint

logger = logging.getLogger(__name__)


def answer_next_samples() -> None:
    """From here on requests for a sample are answered by :func:`sample`.

    MONAI Label 0.8.5 asks at each of them for all that ``/info/`` tells, and takes any text.
    """
    patch_endpoint("activelearning", "sample", lambda _: sample)


def sample(strategy: str, params: dict[str, Any] | None = None, user: str | None = None) -> dict[str, Any]:
    """The image to annotate, as MONAI Label answers; empty if none is left.

    Args:
        strategy: its name.
        params: what the viewer sends.
        user: who asks, if the server knows.

    Raises:
        HTTPException: a text that is none, or too long (422), or no such strategy (404).
    """
    request = {"strategy": strategy, **(params or {})}
    parse_body(NextSampleBody, request)
    app = app_instance()
    answer: dict[str, Any] = app.next_sample(request)
    if not answer:
        return {}
    image, datastore = answer["id"], app.datastore()
    info: dict[str, Any] = datastore.get_image_info(image)
    asked = {"ts": int(time.time()), "client_id": request.get("client_id", user)}
    try:
        datastore.update_image_info(image, {"strategy": {**info.get("strategy", {}), strategy: asked}})
    except (HTTPException, ImageNotFoundException, OSError, sqlite3.Error) as error:
        logger.warning("It is not noted who was given %s: %s", image, error)  # who has it, as it is leased
    return {**answer, **info}
