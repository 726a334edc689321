"""Strategy ``review`` and the scoring ``quality`` that it waits for, in one process."""

from __future__ import annotations

import json
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.support.app import App
from tests.support.judged import publish_judged
from xssr_strategy.segmentation.inference import Predictor
from xssr_strategy.segmentation.publication import load_judged_model
from xssr_strategy.segmentation.transforms import read_for_network
from xssr_strategy.tasks.model_scoring import QualityScoring
from xssr_strategy.tasks.review_strategy import ReviewStrategy


class Reviewing(App):
    """An app with the strategy that asks for the quality of masks."""

    def reopen(self, conf: dict[str, str] | None = None) -> None:
        super().reopen(conf or {"encoder_steps": "2", "budget": "4"})
        self.quality = QualityScoring(self.project, self.datastore)
        self.review = ReviewStrategy(self.project)

    def give(self, client: str = "") -> dict[str, Any]:
        answer = self.review({"strategy": "review", "client_id": client}, self.datastore)
        assert answer is not None
        json.dumps(answer, allow_nan=False)
        return answer

    def publish(self, seed: int, judged: bool = True) -> None:
        publish_judged(self.project.workspace.segmentation, seed, judged)

    def quality_due(self) -> bool:
        return self.project.is_due(self.project.qualities, self.datastore)


@pytest.fixture
def app(tmp_path, monkeypatch) -> Reviewing:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    app = Reviewing(tmp_path)
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

    model, qualities = app.project.qualities.latest()
    network, plan, judge = load_judged_model(app.project.workspace.segmentation)
    assert judge is not None
    predict = Predictor(network, plan, torch.device("cpu"))
    for image, found in list(qualities.items())[:3]:
        pixels, _ = read_for_network(app.datastore.get_image_uri(image), app.project.preset, plan)
        expected = judge.quality_of_mask(predict(pixels).argmax(0), 1)
        assert found == pytest.approx(expected.tolist(), abs=1e-6)
    order = sorted(qualities, key=lambda image: (fmean(qualities[image]), image))
    answers = [app.give(client) for client in ("ann", "bob", "cem")]
    assert [answer["id"] for answer in answers] == order[:3]
    assert answers[0]["quality"] == fmean(qualities[order[0]]) == 1 - answers[0]["score"]
    assert answers[0]["label_quality"] == {"foreground": answers[0]["quality"]}
    assert answers[0]["model"] == model
    assert f"has the lowest quality of 15 ({answers[0]['quality']:.2f})" in answers[0]["reason"]


def test_while_a_new_model_has_not_looked_the_qualities_before_serve(app: Reviewing) -> None:
    app.publish(1)
    app.quality({}, app.datastore)
    app.publish(2)
    answer = app.give()
    assert "Its automatic mask by the model before the present one has the lowest quality" in answer["reason"]
    assert answer["model"] != app.project.qualities.model
    assert app.quality_due()


def test_a_network_of_an_earlier_version_has_no_quality(app: Reviewing) -> None:
    app.publish(1, judged=False)
    answer = app.quality({}, app.datastore)
    assert answer == {"error": "the segmentation model has nothing to judge its masks by; train again"}
    assert app.project.qualities.latest() == (None, {})
