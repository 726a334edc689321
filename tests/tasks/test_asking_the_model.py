"""Strategies cold_start, entropy_diversity and auto, and the scoring that they wait for; in one process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.app import App
from tests.support.pools import write
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.selection import EntropyDiversity
from xssr_strategy.tasks.cold_start import ColdStartStrategy
from xssr_strategy.tasks.entropy_strategy import AutoStrategy, EntropyDiversityStrategy
from xssr_strategy.tasks.model_scoring import EntropyScoring

CONF = {"encoder_steps": "1", "budget": "4", "round": "2", "auto_labels": "2"}


class Asking(App):
    """An app with the strategies that ask the model."""

    def reopen(self, conf: dict[str, str] = CONF) -> None:
        super().reopen(conf)
        self.entropy = EntropyScoring(self.project, self.datastore)
        self.strategies = {
            "cold_start": ColdStartStrategy(self.project),
            "entropy_diversity": EntropyDiversityStrategy(self.project),
            "auto": AutoStrategy(self.project),
        }

    def give(self, name: str, client: str = "") -> dict:
        answer = self.strategies[name]({"strategy": name, "client_id": client}, self.datastore)
        assert answer is not None
        json.dumps(answer, allow_nan=False)
        return answer

    def give_back(self) -> None:
        self.project.leases.end(self.project.leases.out())

    def publish(self, seed: int) -> None:
        torch.manual_seed(seed)
        plan = SegmentationPlan("xray", 2, 1, ("foreground",), (), (32, 32))
        publish(build_unet(2, 1, 2).state_dict(), plan, self.project.workspace.segmentation)

    def entropy_due(self) -> bool:
        return self.project.uncertainty.is_due(lambda: self.project.unlabelled(self.datastore))


@pytest.fixture
def app(tmp_path, monkeypatch) -> Asking:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    return Asking(tmp_path, CONF)


def test_before_anything_is_known_images_come_at_random_and_the_reason_says_why(app: Asking) -> None:
    for name, client in (("cold_start", "a"), ("entropy_diversity", "b"), ("auto", "c")):
        assert app.give(name, client)["reason"].startswith("Picked at random, because no image of 16 is embedded yet")


def test_the_cold_start_follows_its_plan_and_makes_do_with_other_labels(app: Asking) -> None:
    app.score()
    plan = app.project.cold_start.after(frozenset())
    first = app.give("cold_start")
    assert first["id"] == plan.picks[0]
    assert first["reason"] == plan.reason(first["id"])
    assert (first["rank"], first["clusters"]) == (1, len(set(plan.clusters)))
    assert [app.give("cold_start", name)["id"] for name in ("ann", "bob")] == list(plan.picks[1:3])
    app.give_back()
    app.label(plan.picks[0])
    assert not app.due()
    other = next(image for image in plan.images if image not in plan.picks)
    app.label(other)
    expected = plan.after({plan.picks[0], other})
    assert app.give("cold_start")["id"] == expected.picks[0]
    app.reopen()  # a restart knows the clusters, and finds the same picks
    app.give_back()
    assert app.give("cold_start")["id"] == expected.picks[0]


def test_the_cold_start_hands_out_everything_once(app: Asking) -> None:
    app.score()
    given = []
    for _ in range(16):
        given.append(app.give("cold_start")["id"])
        app.label(given[-1])
    assert len(set(given)) == 16
    assert app.strategies["cold_start"]({}, app.datastore) is None


@pytest.mark.slow
def test_a_client_that_passed_over_images_gets_them_again_and_others_go_on(app: Asking) -> None:
    app.score()
    passed = [app.give("cold_start", "ann")["id"] for _ in range(16)]
    assert app.give("cold_start", "ann")["id"] == passed[0]
    app.give_back()
    assert app.give("cold_start", "bob")["id"] == passed[0]


def test_without_a_model_the_cold_start_picks_and_says_so(app: Asking) -> None:
    app.score()
    answer = app.give("entropy_diversity")
    assert answer["id"] == app.project.cold_start.after(frozenset()).picks[0]
    assert answer["reason"].endswith("(The cold start picks, because no model is trained yet.)")
    assert app.entropy({}, app.datastore) == {"model": None, "scored": 0}
    assert not app.entropy_due()


@pytest.mark.slow
def test_the_model_is_asked_once_for_every_unlabelled_image(app: Asking) -> None:
    app.score()
    app.label("i03")
    app.publish(1)
    assert not app.entropy_due()  # no strategy has asked
    answer = app.give("entropy_diversity")
    assert answer["reason"].endswith("(The cold start picks, because the model has not looked at the pool yet.)")
    assert app.entropy_due()
    info = app.entropy.info()
    assert (info["scored"], info["waiting"]) == (0, 15)
    assert app.entropy({}, app.datastore)["scored"] == 15
    assert not app.entropy_due()
    assert app.entropy({}, app.datastore)["scored"] == 0
    info = app.entropy.info()
    assert (info["model"], info["scored"], info["waiting"]) == (app.project.uncertainty.model, 15, 0)
    app.label("i05")
    assert not app.entropy_due()  # a label asks for nothing new
    app.publish(2)
    assert app.entropy_due()
    assert app.entropy({}, app.datastore)["scored"] == 14
    store = app.project.uncertainty.store
    assert store.values(app.project.uncertainty.model).keys() == {f"i{n:02d}" for n in range(16)} - {"i03", "i05"}
    app.reopen()
    assert not app.entropy_due()


@pytest.mark.slow
def test_a_new_or_replaced_image_is_scored_alone(app: Asking) -> None:
    app.publish(1)
    app.score()
    app.give("auto")
    app.entropy({}, app.datastore)
    write(app.studies.parent / "more", 1, seed=9)
    (app.studies.parent / "more" / "i00.png").rename(app.studies / "new.png")
    app.datastore.refresh()
    app.score()
    assert app.entropy_due()
    assert app.entropy({}, app.datastore)["scored"] == 1
    replaced = app.studies / "i02.png"
    replaced.write_bytes((app.studies / "i07.png").read_bytes())
    assert app.entropy({}, app.datastore)["scored"] == 1
    found = app.project.uncertainty.asked()[1]
    assert found["i02"] == found["i07"]


def test_entropy_diversity_is_far_among_the_unsure(app: Asking) -> None:
    app.score()
    app.publish(1)
    for image in ("i01", "i09"):
        app.label(image)
    app.give("entropy_diversity")
    app.give_back()
    app.entropy({}, app.datastore)
    images, vectors, _ = app.project.vectors()
    model, entropies = app.project.uncertainty.asked()
    closed = {"i01", "i09"}
    for client in ("ann", "bob", "cy"):  # what is with annotators counts as labelled
        entropy = [entropies.get(image, np.nan) for image in images]
        known = [images.index(image) for image in sorted(closed)]
        expected = EntropyDiversity(entropy, factor=6).select(vectors, 1, labeled=known)
        answer = app.give("entropy_diversity", client)
        assert answer["id"] == images[expected.indices[0]]
        assert answer["entropy"] == entropies[answer["id"]]
        assert answer["model"] == model
        rank = 1 + sum(entropies[i] > answer["entropy"] for i in entropies.keys() - closed)
        assert f"(entropy {answer['entropy']:.3f} nats, number {rank} of {16 - len(closed)})" in answer["reason"]
        assert rank <= 6
        closed.add(answer["id"])
    app.publish(2)
    assert app.give("entropy_diversity", "dee")["reason"].startswith("The model before the present one is unsure of it")


def test_auto_goes_over_to_the_model_at_its_number_of_labels(app: Asking) -> None:
    app.score()
    app.publish(1)
    first = app.give("auto")
    assert first["picked_by"] == "xssr"
    assert first["reason"].startswith("Pick 1 of 16")
    app.entropy({}, app.datastore)
    app.label(first["id"])
    second = app.give("auto")
    assert second["picked_by"] == "xssr"
    app.label(second["id"])
    third = app.give("auto")
    assert third["picked_by"] == "entropy_diversity"
    assert "The model is unsure of it" in third["reason"]


def test_auto_stays_with_its_first_strategy_while_there_is_no_model(app: Asking) -> None:
    app.reopen({**CONF, "auto_first": "cold_start"})
    app.score()
    for _ in range(3):
        answer = app.give("auto")
        assert answer["picked_by"] == "cold_start"
        assert "because" not in answer["reason"]
        app.label(answer["id"])
    app.publish(1)
    assert app.give("auto")["picked_by"] == "cold_start"  # it has not looked at the pool yet
    app.give_back()
    app.entropy({}, app.datastore)
    assert app.give("auto")["picked_by"] == "entropy_diversity"


def test_a_viewer_that_gets_entropy_by_default_has_it_kept_up_to_date(app: Asking) -> None:
    app.publish(1)
    app.score()
    assert not app.entropy_due()
    app.reopen({**CONF, "viewer_strategy": "auto"})
    assert app.entropy_due()


def test_a_model_of_other_labels_or_a_damaged_one_is_refused_in_one_sentence(app: Asking, caplog) -> None:
    app.score()
    app.publish(1)
    app.reopen({**CONF, "labels": "lung"})
    error = app.entropy({}, app.datastore)["error"]
    assert error.startswith("the segmentation model was trained with --conf labels foreground")
    app.reopen()
    path: Path = app.project.workspace.segmentation
    path.write_bytes(b"no model")
    assert "the segmentation model cannot be read" in app.entropy({}, app.datastore)["error"]
    assert "Traceback" not in caplog.text


def test_an_image_that_the_model_cannot_read_is_not_asked_for_again_and_not_picked(app: Asking) -> None:
    app.score()
    app.publish(1)
    app.give("entropy_diversity")
    app.give_back()
    (app.studies / "i04.png").write_bytes(b"no picture")
    assert app.entropy({}, app.datastore)["scored"] == 16
    assert not app.entropy_due()
    assert "i04" not in app.project.uncertainty.asked()[1]
    given = {app.give("entropy_diversity", f"client {n}")["id"] for n in range(15)}
    assert "i04" not in given


def test_a_model_of_other_labels_is_not_asked_again_and_again_and_the_reason_says_why(app: Asking) -> None:
    app.score()
    app.publish(1)
    app.give("entropy_diversity")
    app.give_back()
    assert app.entropy_due()
    app.reopen({**CONF, "labels": "liver"})
    assert not app.entropy_due()  # or a process would start after every click, to no end
    assert "train again" in app.entropy.info()["problem"]
    sentence = "trained with --conf labels foreground but the server runs with --conf labels liver; train again"
    assert sentence in app.give("entropy_diversity")["reason"]
    app.give_back()
    app.reopen()
    assert app.entropy_due()
