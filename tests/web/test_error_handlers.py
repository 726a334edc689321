"""Whose mistake it is: the asker's is refused with a sentence, one of this package stays visible."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from xssr_strategy.selection import XSSR
from xssr_strategy.web.error_handlers import add_error_handlers


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    app = FastAPI()
    monkeypatch.setitem(sys.modules, "monailabel.app", SimpleNamespace(app=app))
    add_error_handlers()

    @app.get("/lines/{count}")
    def lines(count: str) -> int:
        return int(count)

    @app.get("/file")
    def file() -> str:
        with open("/nowhere/patient.png") as opened:
            return opened.read()

    @app.get("/selection")
    def selection() -> None:
        XSSR().select(np.full((3, 2), np.nan), budget=1)

    return TestClient(app, raise_server_exceptions=False)


def test_what_others_stumble_over_is_refused(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = client.get("/lines/many")
    assert answer.status_code == 422
    assert "'many'" in answer.json()["detail"]
    assert "test_error_handlers.py" in caplog.text


def test_a_file_that_is_not_there_is_named_without_its_folder(client: TestClient) -> None:
    answer = client.get("/file")
    assert (answer.status_code, answer.json()["detail"]) == (404, "patient.png is not on the server.")


def test_a_defect_of_this_package_is_not_the_askers_mistake(client: TestClient) -> None:
    assert client.get("/selection").status_code == 500
