"""What is put around MONAI Label's server, on its own web application and without a running server."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException
from fastapi.testclient import TestClient
from monailabel.interfaces.exception import ImageNotFoundException
from monailabel.utils.others.generic import remove_file

from tests.support.phantoms import write_png
from xssr_strategy.datastores.opening import open_datastore
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.errors import UserError
from xssr_strategy.tasks.inference_request import IMAGE_WAS_SENT, inference_request
from xssr_strategy.tasks.project import Project
from xssr_strategy.web import inference, install, map_routes


@dataclass
class App:
    """As much of an app as the routes need."""

    project: Project
    studies: str
    kept_up: int = 0

    def __post_init__(self) -> None:
        self._datastore = open_datastore(self.project.opened, watch=False)

    def datastore(self) -> Any:
        return self._datastore

    def update_map(self) -> None:
        self.kept_up += 1


@pytest.fixture
def app(tmp_path: Path) -> App:
    for number in range(3):
        write_png(tmp_path / "studies" / f"a{number}.png", np.full((20, 24), 50 + number))
    studies = str(tmp_path / "studies")
    return App(Project(studies, {}), studies)


class _Samples:
    """An app whose strategies hand out an image of their own name; what is noted of it is in ``NOTED``."""

    NOTED: ClassVar[dict[str, Any]] = {}

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        return {} if request["strategy"] == "none left" else {"id": request["strategy"], "reason": "its name"}

    def datastore(self) -> _Samples:
        return self

    def get_image_info(self, image: str) -> dict[str, Any]:
        return {"name": f"{image}.png", "strategy": {"random": {"ts": 1, "client_id": "b"}}}

    def update_image_info(self, image: str, info: dict[str, Any]) -> None:
        if image == "gone":
            raise ImageNotFoundException(image)
        self.NOTED[image] = info


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """A web application in the place of MONAI Label's, with two of its endpoints."""
    application = FastAPI()
    module = ModuleType("monailabel.app")
    module.app = application  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "monailabel.app", module)
    for name in ("activelearning", "scoring", "train", "batch_infer", "infer", "wsi_infer", "datastore", "model",
                 "session", "proxy", "user.auth"):  # fmt: skip
        monkeypatch.delitem(sys.modules, f"monailabel.endpoints.{name}", raising=False)
    endpoint = ModuleType("monailabel.endpoints.activelearning")
    endpoint.sample = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "monailabel.endpoints.activelearning", endpoint)
    monkeypatch.setattr("xssr_strategy.web.next_sample.app_instance", _Samples)

    @application.post("/activelearning/{strategy}")
    def api_sample(strategy: str, params: dict[str, Any] | None = None) -> Any:
        return endpoint.sample(strategy, params, None)

    @application.get("/refused")
    def refused() -> None:
        raise UserError("There is no such thing; name another.")

    monkeypatch.setattr("monailabel.utils.async_tasks.task.AsyncTask.run", None)
    monkeypatch.setattr("monailabel.utils.async_tasks.utils._task_func", None)
    monkeypatch.setattr("xssr_strategy.web.request_checks._originals", {})
    return application


def test_installed_twice_each_route_is_there_once(app: App, server: FastAPI) -> None:
    install(app)
    install(app)
    paths = [getattr(route, "path", "") for route in server.routes]
    assert sorted(path for path in paths if path.startswith("/xssr/map")) == [
        "/xssr/map",
        "/xssr/map/data",
        "/xssr/map/state",
        "/xssr/map/thumbnail",
    ]
    assert {"/xssr/map/data", "/xssr/map"} <= server.openapi()["paths"].keys()


def test_the_map_is_served(app: App, server: FastAPI) -> None:
    install(app)
    client = TestClient(server)
    page = client.get("/xssr/map")
    assert page.status_code == 200
    assert "</html>" in page.text
    again = client.get("/xssr/map", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/xssr/map/data").json() == {"waiting": "The images are waiting to be embedded."}
    assert client.get("/xssr/map/state", params={"version": "1.2"}).json().keys() == {"waiting"}
    assert app.kept_up == 2
    missing = client.get("/xssr/map/thumbnail", params={"image": "a0"})
    assert missing.status_code == 404
    assert "image 'a0' has no picture yet" in missing.json()["detail"]


def test_requests_are_checked_and_mistakes_are_answered_with_a_sentence(app: App, server: FastAPI) -> None:
    install(app)
    client = TestClient(server, raise_server_exceptions=False)
    answer = client.post("/activelearning/xssr", json={"client_id": "a"}).json()
    assert (answer["id"], answer["reason"], answer["name"]) == ("xssr", "its name", "xssr.png")
    noted = _Samples.NOTED["xssr"]["strategy"]
    assert (noted["xssr"]["client_id"], noted["random"]["client_id"]) == ("a", "b")
    assert client.post("/activelearning/gone").json()["id"] == "gone"
    assert client.post("/activelearning/none left").json() == {}
    refused = client.post("/activelearning/xssr", json={"client_id": 7})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "client_id: must be text of at most 1000 characters."
    assert client.post("/activelearning/xssr", json={"note": "x" * 70_000}).status_code == 413
    answer = client.get("/refused")
    assert (answer.status_code, answer.json()["detail"]) == (422, "There is no such thing; name another.")


def test_a_background_process_is_asked_by_nobody(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "monailabel.app", raising=False)
    monkeypatch.setattr(map_routes, "_served", None)
    map_routes.add_map_routes(app.project, app.studies, app.datastore)
    assert map_routes._served is None


def test_the_datastore_of_a_folder_checks_labels_and_links_pictures(app: App, tmp_path: Path) -> None:
    datastore = app.datastore()
    assert isinstance(datastore, StudiesDatastore)
    assert datastore.list_images() == ["a0", "a1", "a2"]
    with pytest.raises(HTTPException, match="must be a plain name"):
        datastore.save_label("a0", str(tmp_path / "studies" / "a0.png"), "../final", {})
    assert str(app.project.workspace.pictures) in datastore.get_image_info("a0")["path"]


@pytest.mark.parametrize(
    ("given", "sent"), [({"image": "a0"}, False), ({"image": "a0", "file": object()}, True), ({"file": object()}, True)]
)
def test_an_inference_says_whether_its_image_was_sent(
    given: dict[str, Any], sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, str]] = []

    def endpoint(*arguments: Any) -> str:
        seen.append((IMAGE_WAS_SENT.get(), arguments[4]))
        return "mask"

    monkeypatch.setattr(inference, "app_instance", lambda: SimpleNamespace(sessions=lambda: None))
    run = inference._checked(endpoint)
    assert run(None, "segmentation", params='{"device": "cpu", "whatever": 1}', **given) == "mask"
    assert seen == [(sent, '{"device": "cpu"}')]
    assert IMAGE_WAS_SENT.get() is False
    with pytest.raises(HTTPException, match="There is no image"):
        run(None, "segmentation")
    with pytest.raises(HTTPException, match="not JSON"):
        run(None, "segmentation", params="{", **given)


def test_the_address_of_an_image_counts_for_nothing_beside_a_session_that_may_end_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or whoever ends a session in time could have any file of the server read."""
    seen: list[str] = []
    sessions = SimpleNamespace(get_session=lambda name: SimpleNamespace(image="/session/scan.nii.gz"))
    monkeypatch.setattr(inference, "app_instance", lambda: SimpleNamespace(sessions=lambda: sessions))

    def endpoint(tasks: Any, model: str, image: str, *more: Any) -> Any:
        seen.append(image)
        with pytest.raises(HTTPException, match="The session of this image has ended"):
            inference_request({"model": model, "image": image}, SimpleNamespace(), ())  # type: ignore[arg-type]

    inference._checked(endpoint)(BackgroundTasks(), "segmentation", str(tmp_path), session_id="s1")
    assert seen == [""]


def test_a_label_goes_to_the_propagation_alone_and_an_error_leaves_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent, kept = SimpleNamespace(filename="drawn.nii.gz"), tmp_path / "kept.nii.gz"

    def endpoint(tasks: BackgroundTasks, model: str, *arguments: Any) -> Any:
        kept.touch()
        tasks.add_task(remove_file, str(kept))
        if model == "propagate":
            assert arguments[4] is sent
            raise UserError("nothing is drawn")
        return arguments[4]  # image, session, settings, file, label

    monkeypatch.setattr(inference, "app_instance", lambda: SimpleNamespace(sessions=lambda: None))
    run = inference._checked(endpoint)
    assert run(BackgroundTasks(), "segmentation", "a0", label=sent) is None
    assert kept.exists()  # until the answer is sent
    with pytest.raises(UserError, match="nothing is drawn"):
        run(BackgroundTasks(), "propagate", "a0", label=sent)
    assert not kept.exists()
    with pytest.raises(HTTPException, match=r"label: send it as one of \.nii\.gz, \.nii, \.nrrd, \.mha"):
        run(BackgroundTasks(), "propagate", "a0", label=SimpleNamespace(filename="drawn.bin"))
