"""Strategy ``review`` and the scoring ``quality`` that it waits for, in one process."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.support.app import App
from tests.support.judged import PLAN, publish_judged
from xssr_strategy.segmentation.inference import Predictor
from xssr_strategy.segmentation.publication import load_judged_model
from xssr_strategy.segmentation.score_stores import ImageScore
from xssr_strategy.segmentation.transforms import read_for_network
from xssr_strategy.tasks.model_scoring import QualityScoring
from xssr_strategy.tasks.review_strategy import ReviewStrategy

CONF = {"encoder_steps": "1", "budget": "4", "labels": "a,b"}


class Reviewing(App):
    """An app with the strategy that asks for the quality of masks."""

    def reopen(self, conf: dict[str, str] = CONF) -> None:
        super().reopen(conf)
        self.quality = QualityScoring(self.project, self.datastore)
        self.review = ReviewStrategy(self.project)

    def give(self, client: str = "") -> dict[str, Any]:
        answer = self.review({"strategy": "review", "client_id": client}, self.datastore)
        assert answer is not None
        json.dumps(answer, allow_nan=False)
        return answer

    def publish(self, seed: int, judged: bool = True) -> None:
        publish_judged(self.project.workspace.segmentation, seed, judged, replace(PLAN, labels=("a", "b")))

    def quality_due(self) -> bool:
        return self.project.qualities.is_due(lambda: self.project.unlabelled(self.datastore))

    def mean_of(self, image: str) -> float:
        return fmean(self.project.qualities.asked()[1][image].values())


@pytest.fixture
def app(tmp_path, monkeypatch) -> Reviewing:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    app = Reviewing(tmp_path, CONF)
    app.score()
    return app


def test_without_a_judged_mask_xssr_picks_and_says_so(app: Reviewing) -> None:
    assert app.give("ann")["reason"].endswith("(XSSR picks, because no model is trained yet.)")
    assert app.quality({}, app.datastore) == {"model": None, "scored": 0}
    app.publish(1)
    assert app.give("bob")["reason"].endswith("(XSSR picks, because the masks of the model are not judged yet.)")


def test_the_worst_mask_comes_first_and_each_image_is_looked_at_once(app: Reviewing) -> None:
    app.label("i03")
    app.publish(1)
    assert not app.quality_due()  # nobody has asked for a review
    app.give()
    app.project.leases.end(app.project.leases.out())
    assert app.quality_due()
    assert app.quality({}, app.datastore)["scored"] == 15
    assert not app.quality_due()
    assert app.quality({}, app.datastore)["scored"] == 0
    info = app.quality.info()
    assert (info["model"], info["scored"], info["waiting"]) == (app.project.qualities.model, 15, 0)

    model, qualities = app.project.qualities.asked()
    network, plan, judge = load_judged_model(app.project.workspace.segmentation)
    assert judge is not None
    predict = Predictor(network, plan, torch.device("cpu"))
    for image, found in list(qualities.items())[:3]:
        pixels, _ = read_for_network(app.datastore.get_image_uri(image), app.project.preset, plan)
        expected = judge.quality_of_logits(predict(pixels))
        assert dict(found) == pytest.approx(dict(zip(("a", "b"), expected.tolist(), strict=True)), abs=1e-6)
    assert len({app.mean_of(image) for image in qualities}) > 10  # or any order would do
    order = sorted(qualities, key=lambda image: (app.mean_of(image), image))
    answers = [app.give(client) for client in ("ann", "bob", "cem")]
    assert [answer["id"] for answer in answers] == order[:3]
    assert answers[0]["quality"] == app.mean_of(order[0]) == 1 - answers[0]["score"]
    assert answers[0]["label_quality"] == qualities[order[0]]
    worst = min(qualities[order[0]], key=lambda name: qualities[order[0]][name])
    assert answers[0]["model"] == model
    assert f"has the lowest quality of 15 ({answers[0]['quality']:.2f}, lowest for {worst} (" in answers[0]["reason"]


def test_until_a_new_model_has_been_through_the_qualities_before_serve(
    app: Reviewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.publish(1)
    app.quality({}, app.datastore)
    before = app.project.qualities.asked()
    app.publish(2)
    answer = app.give()
    assert "Its automatic mask by the model before the present one has the lowest quality" in answer["reason"]
    assert answer["model"] == before[0] != app.project.qualities.model
    monkeypatch.setattr("xssr_strategy.tasks.model_scoring._BATCH", 4)
    put = app.project.qualities.store.put
    seen = []

    def noting(*batch: Any) -> None:
        put(*batch)
        seen.append(app.project.qualities.asked())

    monkeypatch.setattr(app.project.qualities.store, "put", noting)
    app.quality({}, app.datastore)
    assert seen[:3] == [before] * 3
    assert app.project.qualities.asked()[0] == app.project.qualities.model
    put(before[0], [ImageScore("i00", "late", {"a": 0.0, "b": 0.0})])  # of a process that began before
    assert app.project.qualities.asked()[0] == app.project.qualities.model


def test_a_model_that_is_published_during_the_scoring_judges_the_rest(
    app: Reviewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no value of the former one counts as its own."""
    app.publish(1)
    monkeypatch.setattr("xssr_strategy.tasks.model_scoring._BATCH", 4)
    put = app.project.qualities.store.put

    def publishing(*batch: Any) -> None:
        put(*batch)
        app.publish(2)

    monkeypatch.setattr(app.project.qualities.store, "put", publishing)
    assert app.quality({}, app.datastore)["scored"] == 4
    monkeypatch.setattr(app.project.qualities.store, "put", put)
    assert app.quality({}, app.datastore)["scored"] == 16


def test_a_network_of_an_earlier_version_has_no_quality_and_is_asked_once(app: Reviewing) -> None:
    app.publish(1, judged=False)
    app.give()
    app.project.leases.end(app.project.leases.out())
    assert app.quality_due()
    answer = app.quality({}, app.datastore)
    assert answer == {"error": "the segmentation model has nothing to judge its masks by; train again"}
    assert app.project.qualities.asked()[1] == {}
    assert not app.quality_due()  # or a process would start after every click
    assert app.give()["reason"].endswith("because the model has nothing to judge its masks by: train again.)")


def test_a_network_without_a_judge_does_not_leave_the_qualities_of_the_former_one_in_force(app: Reviewing) -> None:
    """Though that has judged more images, as some were labelled since."""
    app.publish(1)
    assert app.quality({}, app.datastore)["scored"] == 16
    for image in ("i00", "i01", "i02"):
        app.label(image)
    app.publish(2, judged=False)
    assert "train again" in app.quality({}, app.datastore)["error"]
    assert app.project.qualities.asked() == (app.project.qualities.model, {})
    assert app.give()["reason"].endswith("because the model has nothing to judge its masks by: train again.)")
