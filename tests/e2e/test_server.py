"""What the server answers, checked on one real server with a small pool of real X-rays."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.chaos.clicks import Clicks
from tests.chaos.pool import wait_until
from tests.support.data import MONTGOMERY, SHENZHEN, need
from tests.support.harness import copy_pool, start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.server import Server
from xssr_strategy.pool.leases import Leases
from xssr_strategy.selection.catalogue import SERVED

pytestmark = pytest.mark.e2e

POOL = 24
ANSWER = {"id", "score", "rank", "density", "novelty", "diversity", "alpha", "reason", "embedded", "pool"}


@dataclass(frozen=True)
class Ready:
    """A server with its first answers: before the first embedding, and once the pool is ranked."""

    server: Server
    annotator: RestAnnotator
    studies: Path
    early: dict
    early_state: dict
    ids: list[str]


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Iterator[Ready]:
    need(SHENZHEN)
    folder = tmp_path_factory.mktemp("server")
    ids = sorted(path.stem for path in (SHENZHEN / "images").iterdir())[:POOL]
    studies = copy_pool(SHENZHEN / "images", ids, folder / "studies")
    (studies / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    source = copy_pool(
        MONTGOMERY / "images", [p.stem for p in sorted((MONTGOMERY / "images").iterdir())[:12]], folder / "source"
    )
    conf = {"source": source, "labels": "lung", "encoder_steps": 8, "budget": 6, "embed_workers": 2}
    with start_server(studies, conf, folder / "server.log") as server:
        annotator = RestAnnotator(server.url)
        early_state, early = annotator.state(), annotator.next_sample()
        annotator.wait_until_ready(600)
        yield Ready(server, annotator, studies, early, early_state, ids)


@pytest.fixture(autouse=True)
def nobody_annotates(ready: Ready) -> Leases:
    """Each test starts with all images at hand."""
    leases = Leases(ready.studies / ".xssr" / "leases.sqlite")
    leases.end(leases.out())
    return leases


def post(ready: Ready, path: str, body: str = "") -> dict:
    request = urllib.request.Request(f"{ready.server.url}{path}", body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def label_of(image: str) -> Path:
    return SHENZHEN / "labels" / f"{image}.png"


def test_before_the_first_embedding_a_random_image_comes_with_the_reason(ready: Ready) -> None:
    assert ready.early_state["state"] in ("waiting", "training encoder")
    assert ready.early_state["encoder"] is None
    assert ready.early.keys() >= ANSWER
    assert ready.early["id"] in [*ready.ids, "broken"]
    assert ready.early["rank"] is None
    assert ready.early["reason"].startswith("Picked at random, because no image")
    assert (ready.early["embedded"], ready.early["pool"]) == (0, POOL + 1)


def test_info_names_the_parts_and_the_state(ready: Ready) -> None:
    info = ready.annotator.client.info()
    assert tuple(info["strategies"]) == SERVED
    assert list(info["trainers"]) == ["segmentation", "encoder"]
    assert info["models"] == {}  # nothing is trained yet
    assert info["labels"] == ["lung"]
    state = info["scoring"]["xssr"]
    assert (state["state"], state["embedded"], state["pool"], state["failed"]) == ("ready", POOL, POOL + 1, 1)
    assert state["encoder"].startswith("conv_mae-")
    assert "broken.png" in state["reasons"]["broken"]


def test_xssr_answers_with_terms_and_one_sentence(ready: Ready) -> None:
    answer = ready.annotator.next_sample()
    assert answer.keys() >= ANSWER
    assert answer["rank"] == 1
    assert 0.0 <= answer["alpha"] <= 0.9
    assert all(0.0 <= answer[term] <= 1.0 for term in ("density", "novelty", "diversity"))
    assert answer["reason"].startswith(f"Pick 1 of {POOL + 1}: ")
    assert answer["reason"].count(".") == 1
    assert Path(answer["path"]).exists()


def test_ohif_asks_for_random_with_an_empty_body_and_gets_the_default_strategy(
    ready: Ready, nobody_annotates: Leases
) -> None:
    first = ready.annotator.next_sample()["id"]
    for body in ("", "{}"):
        nobody_annotates.end([first])
        assert post(ready, "/activelearning/random", body)["id"] == first
    slicer = {ready.annotator.next_sample("random")["id"] for _ in range(12)}
    assert len(slicer) > 1  # a client that names itself gets what it asks for


def test_the_cold_start_says_which_cluster(ready: Ready) -> None:
    wait_until(Clicks(ready.server.url).nothing_runs, 600)  # the clusters are found after the ranking
    answer = ready.annotator.next_sample("cold_start")
    assert answer["id"] in ready.ids
    assert answer["reason"].startswith("Cold start, pick 1: the centre in cluster ")


def test_coreset_is_there_too(ready: Ready) -> None:
    answer = ready.annotator.next_sample("coreset")
    assert answer["id"] in ready.ids
    assert "CoreSet" in answer["reason"]


def test_twenty_annotators_at_once_hold_twenty_images(ready: Ready, nobody_annotates: Leases) -> None:
    def ask(number: int) -> dict:
        return post(ready, "/activelearning/xssr", json.dumps({"client_id": f"client {number}"}))

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(20)))
    assert len({answer["id"] for answer in answers}) == 20
    assert sorted(answer["rank"] for answer in answers) == list(range(1, 21))
    assert len(nobody_annotates.out()) == 20
    assert ready.annotator.state()["leased"] == 20


def test_a_skipped_scan_stays_out(ready: Ready, nobody_annotates: Leases) -> None:
    first = ready.annotator.next_sample()["id"]
    body = json.dumps({"client_id": "ann", "skip": first, "skip_reason": "motion"})
    assert post(ready, "/activelearning/xssr", body)["id"] != first
    assert ready.annotator.state()["skipped"] == 1
    nobody_annotates.end(nobody_annotates.out())
    assert ready.annotator.next_sample()["id"] != first
    nobody_annotates.restore([first])
    with pytest.raises(urllib.error.HTTPError) as refusal:
        post(ready, "/activelearning/xssr", json.dumps({"skip": "nothing"}))
    assert refusal.value.code == 404
    assert "skip 'nothing': there is no such image" in json.load(refusal.value)["detail"]
    ready.annotator.wait_until_ready(600)


def test_segmentation_before_training_says_what_to_do(ready: Ready) -> None:
    with pytest.raises(Exception, match=r"train|model|500"):
        ready.annotator.segment(SHENZHEN / "images" / f"{ready.ids[0]}.png")


def test_annotate_in_order_train_and_segment(ready: Ready) -> None:
    seen = []
    for rank in range(1, 4):
        answer = ready.annotator.next_sample()
        assert answer["rank"] == rank
        seen.append(answer["id"])
        ready.annotator.submit(answer["id"], label_of(answer["id"]))
    assert len(set(seen)) == 3

    # OHIF's "Update Model" names no model, so every trainer runs: the encoder's has nothing to do.
    wait_until(Clicks(ready.server.url).nothing_runs, 600)  # else the scoring is at work with the encoder
    encoder = ready.annotator.state()["encoder"]
    ready.annotator.train(600, model="encoder")
    assert "The encoder is up to date: nothing to train." in ready.server.log.read_text(
        encoding="utf-8", errors="replace"
    )
    assert ready.annotator.state()["encoder"] == encoder

    ready.annotator.train(600, max_epochs=2)
    info = ready.annotator.client.info()
    assert list(info["models"]) == ["segmentation"]
    assert info["train_stats"]["segmentation"]["epoch"] == 2
    mask = ready.annotator.segment(SHENZHEN / "images" / f"{ready.ids[0]}.png")
    with Image.open(mask) as image:
        assert image.size == (256, 256)
        assert set(image.getdata()) <= {0, 1}
    mask.unlink()


def test_a_new_model_is_asked_in_the_background_once_a_strategy_wants_it(ready: Ready) -> None:
    before = ready.annotator.next_sample("entropy_diversity")
    assert "The cold start picks, because the model has not looked at the pool yet" in before["reason"]
    assert before["cluster"] <= before["clusters"]
    deadline = time.monotonic() + 600
    while (state := ready.annotator.client.info()["scoring"]["entropy"])["waiting"] or not state["scored"]:
        assert time.monotonic() < deadline, state
        time.sleep(1)
    assert state["scored"] == POOL - 3
    answer = ready.annotator.next_sample("auto")  # fewer labels than auto wants before it asks
    assert answer["picked_by"] == "xssr"
    answer = ready.annotator.next_sample("entropy_diversity")
    assert 0.0 < answer["entropy"] < 0.6932  # nats: the logarithm of two classes
    assert answer["model"] == state["model"]
    assert "is unsure of it" in answer["reason"]
    log = ready.server.log.read_text(encoding="utf-8", errors="replace")
    assert log.count(f"Entropy: {POOL - 3} of {POOL - 3}") == 1


def test_the_automatic_masks_are_judged_in_the_background_once_somebody_reviews_them(ready: Ready) -> None:
    before = ready.annotator.next_sample("review")
    assert "XSSR picks, because the masks of the model are not judged yet" in before["reason"]
    wait_until(lambda: ready.annotator.client.info()["scoring"]["quality"]["scored"] == POOL - 3, 600)
    answer = ready.annotator.next_sample("review")
    assert answer["label_quality"] == {"lung": answer["quality"]}
    assert "has the lowest quality of" in answer["reason"]
    mask, told = ready.annotator.client.infer("segmentation", answer["id"], {})
    Path(mask).unlink()
    assert told["quality"] == pytest.approx(answer["quality"], abs=1e-3)


def test_nothing_left_is_an_empty_answer(ready: Ready) -> None:
    while answer := ready.annotator.next_sample():
        assert answer["id"] != "broken"  # what cannot be read is not handed out
        ready.annotator.submit(answer["id"], label_of(answer["id"]))
    assert ready.annotator.next_sample("coreset") == {}
    assert post(ready, "/activelearning/random") == {}
    assert "Nothing left to annotate" in ready.server.log.read_text(encoding="utf-8", errors="replace")
    assert ready.annotator.client.info()["datastore"]["completed"] == POOL


def test_no_traceback_in_the_log_but_that_of_the_untrained_model(ready: Ready) -> None:
    log = ready.server.log.read_text(encoding="utf-8", errors="replace")
    assert log.count("Traceback") <= 1, log[-3000:]
