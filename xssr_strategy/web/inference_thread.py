"""Masks are computed in a thread, so that the server answers everybody else meanwhile."""

from __future__ import annotations

import asyncio
import sys
from functools import wraps
from typing import Any

from fastapi.routing import APIRoute
from monailabel.config import settings
from starlette.concurrency import run_in_threadpool

_NAME = "infer in a thread"


def infer_in_thread() -> None:
    """From here on the server answers other requests while it computes a mask; masks are computed one at a time.

    MONAI Label 0.8.5 computes them in the thread that answers everybody: nobody gets a next sample, or can submit a
    label, before the mask is there.
    """
    server, infer = (sys.modules.get(f"monailabel.{name}") for name in ("app", "endpoints.infer"))
    if server is None or infer is None:  # a background process is asked by nobody
        return
    routes = server.app.router.routes
    if any(getattr(route, "name", "") == _NAME for route in routes):
        return
    path = f"{settings.MONAI_LABEL_API_STR}/infer/{{model}}"
    # MONAI Label's own route stays below it, and in the documentation.
    routes.insert(0, APIRoute(path, _threaded(infer), methods=["POST"], name=_NAME, include_in_schema=False))


def _threaded(infer: Any) -> Any:
    one_at_a_time = asyncio.Lock()

    @wraps(infer.api_run_inference)  # its parameters, and who may ask
    async def api_run_inference(user: Any, **sent: Any) -> Any:
        async with one_at_a_time:
            return await run_in_threadpool(infer.run_inference, **sent)

    return api_run_inference
