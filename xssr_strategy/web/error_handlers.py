"""What the server refuses is answered with a status from 400 to 499 and one sentence, not with 500."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import requests
from fastapi import HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import Response
from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)

import xssr_strategy
from xssr_strategy.archive.client import ArchiveError
from xssr_strategy.errors import UserError
from xssr_strategy.storage.disk_errors import FAILURES, describe_disk_error

logger = logging.getLogger(__name__)

_PROXY_PATIENCE = (5.0, 20.0)  # seconds to connect and between two bytes (our choice)
_MISTAKES = (ValueError, OverflowError, AssertionError, RecursionError, FileNotFoundError)
_OURS = Path(xssr_strategy.__file__).parent
_NO_SUCH_NAME = (MONAILabelError.INVALID_INPUT, MONAILabelError.APP_INIT_ERROR)


def add_error_handlers() -> None:
    """From here on the server answers with the sentence of the error.

    MONAI Label 0.8.5 answers whatever an app or a datastore raises, and a form field ``params`` that is no JSON,
    with 500 and a traceback in the log.
    """
    module = sys.modules.get("monailabel.app")
    if module is None:  # a background process answers nobody
        return
    for kind in (UserError, MONAILabelException, json.JSONDecodeError, requests.RequestException, *FAILURES):
        module.app.add_exception_handler(kind, _answer)
    for kind in _MISTAKES:
        module.app.add_exception_handler(kind, _answer_mistake)
    module.app.middleware_stack = None  # built before the app was loaded; the next request builds it anew


class _LimitedRequests:
    """Stands for the module ``requests`` in ``monailabel.endpoints.proxy``, which uses ``get`` and ``post`` of it."""

    get = staticmethod(partial(requests.get, timeout=_PROXY_PATIENCE))
    post = staticmethod(partial(requests.post, timeout=_PROXY_PATIENCE))


def limit_archive_proxy() -> None:
    """From here on an archive that hangs does not hang the server with it.

    MONAI Label 0.8.5 hands OHIF's questions on to the archive without a limit of time, in the thread that answers all.
    """
    proxy: Any = sys.modules.get("monailabel.endpoints.proxy")
    if proxy is not None:
        proxy.requests = _LimitedRequests


async def _answer(request: Request, error: Exception) -> Response:
    status, sentence = _status_and_sentence(error)
    if isinstance(error, requests.HTTPError) and request.url.path.endswith("/auth/token"):  # the realm's answer
        status, sentence = 401, "The name or the password is wrong."
    return await http_exception_handler(request, HTTPException(status, sentence))


async def _answer_mistake(request: Request, error: Exception) -> Response:
    """For what MONAI Label's own routes stumble over, such as a number of lines that no computer counts.

    What goes wrong in this package is a defect, not the asker's mistake: 500, with a traceback in the log.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    if Path(place.filename).is_relative_to(_OURS):
        raise error
    logger.warning("Refused: %s (%s, line %d)", error, place.filename, place.lineno or 0)
    if isinstance(error, FileNotFoundError):
        status, sentence = 404, f"{Path(str(error.filename)).name} is not on the server."
    else:
        status, sentence = 422, f"The server can make nothing of this request ({str(error)[:200]})."
    return await http_exception_handler(request, HTTPException(status, sentence))


def _status_and_sentence(error: Exception) -> tuple[int, str]:
    if isinstance(error, json.JSONDecodeError):
        return 422, f"params: not JSON ({error}); send an object such as {{}}."
    if isinstance(error, MONAILabelException):
        missing = isinstance(error, ImageNotFoundException | LabelNotFoundException) or error.error in _NO_SUCH_NAME
        return (404 if missing else 500), str(error.msg)
    if isinstance(error, requests.RequestException):  # which is an OSError
        return 502, f"The archive or the login server gave no answer: {error}"
    if isinstance(error, FAILURES):
        if (sentence := describe_disk_error(error)) is None:
            raise error
        return 507, sentence
    return (503 if isinstance(error, ArchiveError) else 422), str(error)
