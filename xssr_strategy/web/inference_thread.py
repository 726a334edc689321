"""Masks are computed in a thread, so that the server answers others meanwhile."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from monailabel.config import settings
from starlette.concurrency import run_in_threadpool

from xssr_strategy.tasks.disconnect import CLIENT_DISCONNECTED
from xssr_strategy.web.request_checks import patch_endpoint

_NAME = "infer in a thread"
_LEFT = 499  # nobody reads it; nginx's number for a closed connection
_LOOK_EVERY = 0.5  # seconds
_LOOP: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("the loop that answers requests", default=None)


def infer_in_thread() -> None:
    """From here on the server answers other requests while it computes a mask; masks are computed one at a time.

    MONAI Label 0.8.5 computes them in the thread that answers everybody: nobody gets a next sample, or can submit a
    label, before the mask is there. Datastore, sessions and project are still asked in that one thread. A mask whose
    asker has closed the connection is not begun, or ends where :func:`stop_if_disconnected` is called.
    """
    server, infer = (sys.modules.get(f"monailabel.{name}") for name in ("app", "endpoints.infer"))
    if server is None or infer is None:  # a background process is asked by nobody
        return
    patch_endpoint("infer", "app_instance", lambda app_instance: lambda: _InferringApp(app_instance()))
    routes = server.app.router.routes
    if any(getattr(route, "name", "") == _NAME for route in routes):
        return
    path = f"{settings.MONAI_LABEL_API_STR}/infer/{{model}}"
    # MONAI Label's own route stays below it, and in the documentation.
    routes.insert(0, APIRoute(path, _threaded(infer), methods=["POST"], name=_NAME, include_in_schema=False))


def _threaded(infer: Any) -> Any:
    one_at_a_time = asyncio.Lock()

    async def api_run_inference(asked: Request, user: Any, **sent: Any) -> Any:
        async with _watched(asked) as left, one_at_a_time:
            if left.is_set():
                return Response(status_code=_LEFT)
            _LOOP.set(asyncio.get_running_loop())
            CLIENT_DISCONNECTED.set(left)
            return await run_in_threadpool(infer.run_inference, **sent)

    own = inspect.signature(infer.api_run_inference)  # its parameters, and who may ask
    request = inspect.Parameter("asked", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    api_run_inference.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[request, *own.parameters.values()]
    )
    return api_run_inference


@asynccontextmanager
async def _watched(asked: Request) -> AsyncIterator[threading.Event]:
    """An event that is set when the connection is closed before there is an answer."""
    left = threading.Event()

    async def watch() -> None:
        while not await asked.is_disconnected():
            await asyncio.sleep(_LOOK_EVERY)
        left.set()

    watching = asyncio.create_task(watch())
    try:
        yield left
    finally:
        watching.cancel()


def in_server_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What a function returns, which the thread that answers requests runs if this is the one that computes a mask."""
    loop = _LOOP.get()
    if loop is None:
        return function(*args)

    async def call() -> Any:
        _LOOP.set(None)
        return function(*args)

    return asyncio.run_coroutine_threadsafe(call(), loop).result()


class InServerThread:
    """Stands for an object whose methods :func:`in_server_thread` calls."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return partial(in_server_thread, value) if callable(value) else value

    @property  # type: ignore[misc]  # for isinstance
    def __class__(self) -> type:
        return type(self._target)


class _InferringApp:
    """The app as ``monailabel.endpoints.infer`` asks it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def info(self) -> dict[str, Any]:
        """Nothing: of all that the app would tell, the endpoint looks for settings that this app has not."""
        return {}

    def datastore(self) -> Any:
        return InServerThread(self._app.datastore())

    def sessions(self) -> Any:
        return InServerThread(self._app.sessions())

    def infer(self, request: dict[str, Any]) -> Any:
        return self._app.infer(request, self.datastore())
