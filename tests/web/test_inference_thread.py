"""The server answers others while it computes a mask: MONAI Label's own routes, asked at the same time."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from monailabel.endpoints import infer

from xssr_strategy.web.inference_thread import infer_in_thread

_PATIENCE = 20  # seconds


class Masks:
    """Stands for the computation: begins, and ends when it may."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.at_work, self.most, self.asked = 0, 0, list[dict[str, Any]]()

    def __call__(self, background_tasks: Any, model: str, image: str = "", **more: Any) -> dict[str, Any]:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        self.asked.append({"image": image, **more})
        ended = self.may_end.wait(_PATIENCE)
        self.at_work -= 1
        if image == "none":
            raise HTTPException(404, "There is no such image.")
        return {"model": model, "ended": ended}


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> Masks:
    masks = Masks()
    monkeypatch.setattr(infer, "run_inference", masks)
    return masks


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, masks: Masks) -> Iterator[FastAPI]:
    application = FastAPI()
    application.include_router(infer.router)

    @application.get("/next")
    async def next_sample() -> str:
        masks.may_end.set()
        return "answered"

    module = ModuleType("monailabel.app")
    module.app = application  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "monailabel.app", module)
    infer_in_thread()
    infer_in_thread()
    yield application
    masks.may_end.set()


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


def test_the_route_is_there_once_and_the_documentation_has_that_of_monai_label(server: FastAPI) -> None:
    assert [getattr(route, "name", "") for route in server.router.routes].count("infer in a thread") == 1
    operation = server.openapi()["paths"]["/infer/{model}"]["post"]
    assert operation["summary"].endswith("Run Inference for supported model")
