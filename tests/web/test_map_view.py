"""The served map: made by the scoring process, and what an open page is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.app import App
from tests.support.judged import publish_judged
from tests.support.pools import write
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.segmentation.score_stores import ImageScore
from xssr_strategy.tasks.map_scoring import MapScoring
from xssr_strategy.web.map_view import MapView


class Mapped(App):
    """An app with a map."""

    def reopen(self, *conf: Any) -> None:
        super().reopen(*conf)
        self.map = MapScoring(self.project)
        self.view = MapView(self.project, str(self.studies))

    def publish(self, seed: int) -> None:
        publish_judged(self.project.workspace.segmentation, seed)

    def due_map(self) -> bool:
        return self.map.is_due(self.datastore)

    def make_map(self) -> dict[str, Any]:
        return self.map({}, self.datastore)

    def whole(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.view.whole(self.view.look(self.datastore)))
        return found

    def since(self, version: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.view.since(self.view.look(self.datastore), version))
        return found


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapped:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    return Mapped(tmp_path)


def test_until_there_is_a_map_the_page_is_told_what_is_done_about_it(app: Mapped) -> None:
    assert app.whole() == {"waiting": "The images are waiting to be embedded."}
    assert not app.due_map()  # first the ranking
    app.project.report_progress("embedding", 3, 16)
    assert app.whole() == {"waiting": "The images are being embedded: 3 of 16."}
    app.score()
    assert app.whole()["waiting"].startswith("The map is being laid out")
    assert app.since("")["waiting"].startswith("The map is being laid out")
    assert app.due_map()
    assert app.make_map() == {"images": 16}
    assert not app.due_map()
    content = app.whole()["content"]
    assert content["changing"]["summary"] == "16 images: 3 picked, 13 waiting."
    assert None not in content["fixed"]["x"]


def test_a_page_is_told_what_changed_and_nothing_else(app: Mapped) -> None:
    app.score()
    app.make_map()
    version = app.whole()["content"]["changing"]["version"]
    assert app.since(version) == {}
    answer = app.ask("ann")
    assert answer is not None
    leased = app.since(version)["changing"]
    assert leased["summary"] == "16 images: 2 picked, 1 leased, 13 waiting."
    app.label(answer["id"])
    labelled = app.since(leased["version"])["changing"]
    assert labelled["summary"] == "16 images: 2 picked, 1 labelled, 13 waiting."
    ids = app.whole()["content"]["fixed"]["ids"]
    assert ids[labelled["order"][0]] == answer["id"]
    assert app.since(labelled["version"]) == {}
    app.project.report_progress("embedding", 1, 2)  # somebody writes to the store, but nothing on the map changes
    assert app.since(labelled["version"]) == {}


def test_qualities_and_entropies_of_the_model_colour_the_map_once_they_are_there(app: Mapped) -> None:
    app.score()
    app.make_map()
    app.publish(1)
    content = app.whole()["content"]
    assert {"entropy", "quality"}.isdisjoint(one["key"] for one in content["fixed"]["colours"])
    model = app.project.qualities.model
    assert model is not None
    app.project.qualities.store.put(model, [ImageScore("i05", "1", {"a": 0.5, "b": 1.0})])
    app.project.uncertainty.store.put(model, [ImageScore("i06", "1", 0.125)])
    content = app.since(content["changing"]["version"])["content"]  # an open page is told
    found = {one["key"]: one.get("values") for one in content["fixed"]["colours"]}
    ids = content["fixed"]["ids"]
    assert found["quality"][ids.index("i05")] == 0.75
    assert found["entropy"][ids.index("i06")] == 0.125


def test_labels_are_shown_in_the_order_in_which_they_were_made(app: Mapped) -> None:
    app.score()
    app.make_map()
    made = []
    for image in ("i09", "i01", "i05"):
        app.label(image)
        made.append(image)
        content = app.whole()["content"]
        order = [content["fixed"]["ids"][place] for place in content["changing"]["order"]]
        assert order[: len(made)] == made


def test_new_images_are_told_of_and_get_their_place(app: Mapped) -> None:
    app.score()
    app.make_map()
    version = app.whole()["content"]["changing"]["version"]
    write(app.studies, 17, 9)  # i16 is new, the others are others now
    app.reopen()
    content = app.since(version)["content"]
    place = content["fixed"]["ids"].index("i16")
    assert content["changing"]["notes"][str(place)] == "not embedded yet"
    app.score()
    assert app.due_map()
    app.make_map()
    content = app.since(content["changing"]["version"])["content"]
    assert content["fixed"]["x"][place] is not None


def test_pictures_of_images_that_were_embedded_before_are_made(app: Mapped) -> None:
    app.score()
    pictures = ThumbnailStore(app.project.workspace.thumbnails)
    assert len(pictures.fingerprints(TARGET)) == 16
    pictures.forget(TARGET, ["i03"])
    assert app.view.picture(TARGET, "i03") is None
    app.make_map()
    assert app.view.picture(TARGET, "i03") == pictures.picture(TARGET, "i03")
