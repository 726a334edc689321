"""The real server on folders full of broken and odd images: it works with the others and says what is wrong."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.data import HIPPOCAMPUS, SHENZHEN, need
from tests.support.harness import copy_pool
from tests.support.image_corpus import EMBEDDED, FORGED, PASSED_OVER, Case, write_cases
from tests.support.odd_images import DEEP, FLAT
from tests.support.poison import poisoned_environment
from tests.support.warm import start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.server import Server
from xssr_strategy.images.listing import find_images

pytestmark = pytest.mark.e2e

LINE = re.compile(r"\[\d{4}-\d\d-\d\d ")


@pytest.mark.parametrize(
    ("preset", "data", "corpus"), [("xray", SHENZHEN, FLAT), ("mri", HIPPOCAMPUS, DEEP)], ids=["2-D", "3-D"]
)
def test_each_is_embedded_or_set_aside_with_a_reason(
    tmp_path: Path, preset: str, data: Path, corpus: Mapping[str, list[Case]]
) -> None:
    need(data)
    studies = tmp_path / "studies"
    cases = write_cases(studies, [case for group in corpus.values() for case in group])
    good = [path.name.split(".")[0] for path in sorted((data / "images").iterdir())[:6]]
    copy_pool(data / "images", good, studies)
    listed = {path.name: image for image, path in find_images(studies).items()}
    expected = {listed[name]: case for name, case in cases.items() if case.outcome != PASSED_OVER}
    assert len(listed) == len(expected) + len(good)

    conf = {"encoder_steps": 3, "preset": preset, "budget": 6}
    with start_server(studies, conf, tmp_path / "server.log") as server:
        annotator = RestAnnotator(server.url)
        annotator.wait_until_ready(600)
        state = annotator.state()
        wanted = {image for image, case in expected.items() if case.outcome != EMBEDDED}
        reasons = state["reasons"]
        assert reasons.keys() == wanted
        for image, reason in reasons.items():
            assert re.search(expected[image].outcome, reason), (image, reason)
            assert reason.isprintable(), reason
        assert (state["failed"], state["pool"]) == (len(wanted), len(listed))
        assert state["embedded"] == state["pool"] - state["failed"]
        handed_out: list[str] = []
        while answer := ask(server, f"reader {len(handed_out)}"):  # each keeps an image, so that all are handed out
            handed_out.append(answer["id"])
            if Path(answer["path"]).is_file():  # viewers open a series by its folder
                assert download(server, answer["id"]), answer
        assert sorted(handed_out) == sorted(set(listed.values()) - wanted)
    log = (tmp_path / "server.log").read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 2000 :][:4000]
    assert not [line for line in log.splitlines() if line.startswith(FORGED)]
    told = [line for line in log.splitlines() if "Set aside: " in line]
    assert len(told) >= len(wanted)


def test_an_image_that_ends_the_scoring_process_is_set_aside(tmp_path: Path) -> None:
    need(SHENZHEN)
    good = [path.stem for path in sorted((SHENZHEN / "images").iterdir())[:6]]
    studies = copy_pool(SHENZHEN / "images", good, tmp_path / "studies")
    (studies / "segfault.png").write_bytes((studies / f"{good[0]}.png").read_bytes())
    conf = {"encoder_steps": 3, "preset": "xray", "budget": 3}
    more = poisoned_environment(tmp_path / "site")
    with start_server(studies, conf, tmp_path / "server.log", more=more) as server:
        annotator = RestAnnotator(server.url)
        deadline = time.monotonic() + 600
        while annotator.state()["state"] != "ready":
            assert time.monotonic() < deadline
            annotator.next_sample()  # a click starts the next scoring run
            time.sleep(2)
        state = annotator.state()
        assert (state["embedded"], state["failed"]) == (6, 1)
        assert "segfault.png: reading it ends the process (SIGSEGV); " in state["reasons"]["segfault"]


def ask(server: Server, client: str) -> dict:
    body = json.dumps({"client_id": client}).encode()
    request = urllib.request.Request(f"{server.url}/activelearning/xssr", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def download(server: Server, image: str) -> int:
    query = urllib.parse.urlencode({"image": image})
    with urllib.request.urlopen(f"{server.url}/datastore/image?{query}", timeout=300) as answer:
        return len(answer.read())
