"""Requests that nobody can make sense of: each is refused with a sentence, and the server works on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.pools import write
from tests.support.warm import start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.server import Server
from xssr_strategy.pool.leases import Leases

pytestmark = pytest.mark.e2e

FUZZ = settings(
    derandomize=True, max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
TEXT = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(["\ud800", "\0", "x" * 70_000, "../..", "i01"])
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -1, 2**63])
LEAVES = st.none() | st.booleans() | NUMBERS | TEXT
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


def bodies(*keys: str) -> st.SearchStrategy[Any]:
    """Objects that have some of these keys, with anything in them, and everything that is no object."""
    return st.dictionaries(st.sampled_from(keys) | TEXT, VALUES, min_size=1, max_size=4) | VALUES


@dataclass(frozen=True)
class Place:
    """A server with a trained network, and the folder around its studies."""

    server: Server
    folder: Path

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, self.server.url + path, timeout=60, **more)

    def send(self, method: str, path: str, body: Any) -> None:
        """JSON as it is; whatever is wrong with it is the asker's fault, and is told in a sentence."""
        text = body if isinstance(body, str) else json.dumps(body)
        answer = self.ask(method, path, data=text.encode(), headers={"content-type": "application/json"})
        self.refused_or_done(answer)

    def refused_or_done(self, answer: requests.Response) -> None:
        assert answer.status_code < 500, (answer.request.url, answer.request.body, answer.text)
        if answer.status_code >= 400:
            assert answer.json()["detail"]

    def field(self, method: str, path: str, name: str, body: Any, **more: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.refused_or_done(self.ask(method, path, data={name: text.encode("utf-8", "replace")}, **more))

    def idle(self, task: str, patience: float = 600) -> dict[str, Any]:
        """The last task of a kind, once nothing runs."""
        deadline = time.monotonic() + patience
        while (state := self.ask("GET", f"/{task}/").json())["status"] in ("SUBMITTED", "RUNNING"):
            assert time.monotonic() < deadline, state
            time.sleep(0.2)
        return state


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("bodies")
    studies = write(folder / "studies", 10, 1)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    Image.fromarray(mask).save(folder / "label.png")
    own = {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    with start_server(studies, {"encoder_steps": 2}, folder / "server.log", more=own) as server:
        annotator = RestAnnotator(server.url)
        annotator.wait_until_ready(240)
        for image in ("i00", "i01"):
            annotator.submit(image, folder / "label.png")
        annotator.train(240, max_epochs=1, steps_per_epoch=1)
        yield Place(server, folder)


@FUZZ
@given(body=bodies("client_id", "skip", "skip_reason", "label_tag", "labels", "strategy"))
def test_next_sample(place: Place, body: Any) -> None:
    place.send("POST", "/activelearning/xssr", body)


@FUZZ
@given(body=bodies("method", "model", "gpus", "bundle_path", "device", "xssr"))
def test_what_starts_a_task(place: Place, body: Any) -> None:
    """The tasks that a body does start are stopped at once: here it is the answers that count."""
    for path in ("/scoring/xssr", "/scoring/", "/train/encoder"):
        place.send("POST", path, body)
    for task in ("scoring", "train"):
        place.ask("DELETE", f"/{task}/")


@FUZZ
@given(body=bodies("max_epochs", "seed", "dataset", "val_split", "pretrained", "device", "name", "run_id"))
def test_settings_of_a_training(place: Place, body: Any) -> None:
    body = {**body, "max_epochs": "none"} if isinstance(body, dict) else body  # never to be started
    for path in ("/train/segmentation", "/train/nobody"):
        place.send("POST", path, body)


@FUZZ
@given(body=bodies("images", "max_batch_size", "max_workers", "label_tag", "logging", "device", "result_dtype"))
def test_settings_of_a_batch(place: Place, body: Any) -> None:
    body = {**body, "images": 0} if isinstance(body, dict) else body
    for path in ("/batch/infer/segmentation", "/batch/infer/nobody"):
        place.send("POST", path, body)
    place.ask("DELETE", "/batch/infer/")  # nothing at all is a fair request, too


@FUZZ
@given(body=bodies("image", "device", "result_extension", "result_dtype", "result_compress", "label_info", "logging"))
def test_settings_of_an_inference(place: Place, body: Any) -> None:
    place.field("POST", "/infer/segmentation?image=i02&output=json", "params", body)


@FUZZ
@given(body=bodies("label_info", "client_id", "strategy", "path", "name"))
def test_what_is_told_of_images_and_labels(place: Place, body: Any) -> None:
    with (place.folder / "label.png").open("rb") as file:
        tagged = "/datastore/label?image=i02&tag=original"
        place.field("PUT", tagged, "params", body, files={"label": ("label.png", file)})
    place.field("PUT", "/datastore/image/info?image=i03", "info", body)
    place.field("PUT", "/datastore/label/info?label=i00&tag=final", "info", body)
    for shown in ("/datastore/image/info?image=i03", "/datastore/label/info?label=i00&tag=final"):
        assert place.ask("GET", shown).status_code == 200


@FUZZ
@given(text=TEXT)
def test_what_stands_in_addresses(place: Place, text: str) -> None:
    text = text[:2000].encode("utf-8", "replace").decode()
    for path, name in (
        ("/xssr/map/state", "version"),
        ("/xssr/map/thumbnail", "image"),
        ("/datastore/image", "image"),
        ("/datastore/image/info", "image"),
        ("/datastore/dataset", "limit_cases"),
        ("/logs/", "lines"),
    ):
        place.refused_or_done(place.ask("GET", path, params={name: text}))
    place.refused_or_done(place.ask("POST", "/infer/wsi_v2/segmentation", data={"wsi": text.encode()}))
    label = {"label": ("label.png", b"nothing")}
    place.refused_or_done(place.ask("PUT", "/datastore/label", params={"image": "i02", "tag": text}, files=label))


def test_a_body_too_large_to_be_handed_on(place: Place) -> None:
    """MONAI Label hands it to a process as one argument, which Linux takes up to 128 KB."""
    for size, letter in ((200_000, "x"), (60_000, "\u00e9")):
        body = json.dumps({"note": letter * (size // len(letter.encode()))}, ensure_ascii=False)
        for path in ("/scoring/xssr", "/train/encoder", "/activelearning/xssr"):
            answer = place.ask("POST", path, data=body.encode(), headers={"content-type": "application/json"})
            if path != "/activelearning/xssr" or size > 100_000:
                assert answer.status_code == 413, answer.text
                assert "at most" in answer.json()["detail"]


def test_nobody_is_kept_waiting_for_a_task(place: Place) -> None:
    answer = place.ask("POST", "/scoring/xssr?run_sync=true", json={})
    assert (answer.status_code, "run_sync" in answer.text) == (422, True)


def test_afterwards_the_server_works(place: Place) -> None:
    for task in ("scoring", "batch/infer"):
        place.ask("DELETE", f"/{task}/")
        place.idle(task)
    assert place.ask("POST", "/scoring/xssr", json={}).status_code == 200
    assert place.idle("scoring")["status"] == "DONE"
    leases = Leases(place.folder / "studies" / ".xssr" / "leases.sqlite")
    leases.end(leases.out())
    leases.restore(leases.skipped())
    leases.close()
    assert place.ask("POST", "/activelearning/xssr", json={"client_id": "the next"}).json()["id"]
    assert place.ask("POST", "/batch/infer/segmentation?images=unlabeled").status_code == 200
    assert place.idle("batch/infer")["status"] == "DONE"
    mask = place.ask("POST", "/infer/segmentation?image=i04&output=image")
    assert mask.headers["content-type"] == "image/png"
    assert place.ask("GET", "/info/").json()["scoring"]["xssr"]["state"] == "ready"


def test_no_traceback_in_the_log(place: Place) -> None:
    log = place.server.log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
