"""The server answers others while it computes a mask: MONAI Label's own routes, asked at the same time."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from monailabel.endpoints import infer

from xssr_strategy.errors import UserError
from xssr_strategy.tasks.disconnect import stop_if_disconnected
from xssr_strategy.web.inference_thread import infer_in_thread

_PATIENCE = 20  # seconds


class Masks:
    """Stands for the computation: begins, and ends once the next sample was asked for."""

    def __init__(self, may_end: threading.Event) -> None:
        self._may_end = may_end
        self.at_work, self.most, self.asked = 0, 0, list[dict[str, Any]]()

    def __call__(self, background_tasks: Any, model: str, image: str = "", **more: Any) -> dict[str, Any]:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        self.asked.append({"image": image, **more})
        ended = self._may_end.wait(_PATIENCE)
        self.at_work -= 1
        if image == "none":
            raise HTTPException(404, "There is no such image.")
        return {"model": model, "ended": ended}


class Store:
    """A datastore that notes which thread asks it."""

    def __init__(self) -> None:
        self.asked_by = 0

    def get_image_uri(self, image: str) -> str:
        self.asked_by = threading.get_ident()
        if image == "none":
            raise HTTPException(404, "There is no such image.")
        return f"/{image}"


class App:
    """An app that notes which thread computes."""

    def __init__(self) -> None:
        self.store, self.computed_by = Store(), 0

    def info(self) -> None:
        raise AssertionError("it takes long, and nothing of it is of use")

    def datastore(self) -> Store:
        return self.store

    def infer(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        self.computed_by = threading.get_ident()
        assert isinstance(datastore, Store)
        return {"params": {"image": datastore.get_image_uri(request["image"])}}


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, app: App) -> Iterator[FastAPI]:
    application = FastAPI()
    application.include_router(infer.router)
    application.state.asked_next = threading.Event()

    @application.get("/next")
    async def next_sample() -> str:
        application.state.asked_next.set()
        return "answered"

    monkeypatch.setitem(sys.modules, "monailabel.app", SimpleNamespace(app=application))
    monkeypatch.setattr("xssr_strategy.web.request_checks._originals", {})
    monkeypatch.setattr(infer, "app_instance", lambda: app)
    infer_in_thread()
    infer_in_thread()
    yield application
    application.state.asked_next.set()


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch, server: FastAPI) -> Masks:
    masks = Masks(server.state.asked_next)
    monkeypatch.setattr(infer, "run_inference", masks)
    return masks


def asked(server: FastAPI, *requests: tuple[str, str]) -> list[httpx.Response]:
    """The answers to requests (method, path) that are sent one after the other without waiting."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://server", timeout=2 * _PATIENCE) as client:
            return await asyncio.gather(*(client.request(*request) for request in requests))

    return asyncio.run(ask())


def test_others_are_answered_while_a_mask_is_computed(server: FastAPI, masks: Masks) -> None:
    mask, other = asked(server, ("POST", "/infer/propagate?image=i1&output=json"), ("GET", "/next"))
    assert other.json() == "answered"
    assert mask.json() == {"model": "propagate", "ended": True}  # it was at work till the other was answered
    assert [(one["image"], one["output"], one["params"]) for one in masks.asked] == [("i1", "json", "{}")]


def test_masks_are_computed_one_at_a_time_and_a_refusal_lets_the_next_begin(server: FastAPI, masks: Masks) -> None:
    asking = [("POST", f"/infer/segmentation?image={image}") for image in ("i1", "none", "i2")]
    answers = asked(server, *asking, ("GET", "/next"))
    assert [answer.status_code for answer in answers] == [200, 404, 200, 200]
    assert answers[1].json() == {"detail": "There is no such image."}
    assert masks.most == 1


def closing(server: FastAPI, path: str, left: asyncio.Event) -> Any:
    """A request whose connection is closed when ``left`` is set, as a server tells its application."""
    body: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if body:
            return body.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    where, _, query = path.partition("?")
    scope = {"type": "http", "method": "POST", "path": where, "query_string": query.encode(), "headers": []}
    return server({**scope, "http_version": "1.1", "scheme": "http", "server": ("server", 80)}, receive, send)


def test_a_mask_whose_asker_has_left_ends_and_one_that_waited_is_not_begun(
    server: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    ended: list[str] = []

    def slow(background_tasks: Any, model: str, image: str = "", **more: Any) -> dict[str, Any]:
        begun.append(image)
        for _ in range(100 * _PATIENCE if image == "long" else 1):
            try:
                stop_if_disconnected()
            except UserError:
                ended.append(image)
                raise HTTPException(400, "left") from None
            time.sleep(0.01)
        return {"image": image}

    monkeypatch.setattr(infer, "run_inference", slow)

    async def ask() -> Any:
        left = asyncio.Event()
        leaving = [
            asyncio.create_task(closing(server, f"/infer/segmentation?image={name}", left))
            for name in ("long", "queued")
        ]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://server") as client:
            staying = asyncio.create_task(client.post("/infer/segmentation?image=staying", timeout=_PATIENCE))
            while not begun:
                await asyncio.sleep(0.01)
            left.set()
            await asyncio.gather(*leaving)
            return (await staying).json()

    assert asyncio.run(ask()) == {"image": "staying"}
    assert (begun, ended) == (["long", "staying"], ["long"])


def test_the_route_is_there_once_and_the_documentation_has_that_of_monai_label(server: FastAPI) -> None:
    assert [getattr(route, "name", "") for route in server.router.routes].count("infer in a thread") == 1
    operation = server.openapi()["paths"]["/infer/{model}"]["post"]
    assert operation["summary"].endswith("Run Inference for supported model")


def test_the_datastore_is_asked_in_the_thread_that_answers_requests(server: FastAPI, app: App) -> None:
    found, missing = asked(
        server, ("POST", "/infer/segmentation?image=i1&output=json"), ("POST", "/infer/segmentation?image=none")
    )
    assert found.json() == {"image": "/i1"}
    assert (missing.status_code, missing.json()) == (404, {"detail": "There is no such image."})
    assert app.store.asked_by == threading.get_ident() != app.computed_by
