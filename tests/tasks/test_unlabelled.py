"""Which images a server's training may learn from without a label."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.app import CONF, App
from tests.support.pools import write
from xssr_strategy.embedding.pool import failure_state
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.tasks.unlabelled import unlabelled_images


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    return App(tmp_path)


def test_test_cases_of_the_source_train_neither_with_a_label_nor_without(app: App, tmp_path: Path) -> None:
    images = write(tmp_path / "source" / "images", 4, 7)
    shutil.copytree(images, tmp_path / "source" / "labels")
    (tmp_path / "source" / "test.txt").write_text("i00")
    (tmp_path / "source" / "labels" / "i03.png").unlink()
    for labels in (tmp_path / "source", tmp_path / "source" / "labels"):
        app.reopen({**CONF, "source": str(images), "source_labels": str(labels)})
        pairs = app.project.source_labels.pairs
        assert [Path(pair["image"]).stem for pair in pairs] == ["i01", "i02"]
        found = unlabelled_images(app.project, app.datastore)
        assert [image for image in found if image.startswith("source")] == ["source i03"]


def test_a_training_may_learn_from_what_has_no_label_is_not_skipped_and_can_be_read(app: App, tmp_path: Path) -> None:
    source = write(tmp_path / "source", 2, 7)
    app.reopen({**CONF, "source": str(source)})
    app.label("i00")
    app.project.leases.skip("i01", "somebody", "motion")
    app.project.leases.take("i02", "somebody")
    failure = failure_state(app.project.preset, "present")
    app.project.store.set_aside(TARGET, "i03", failure, "i03 cannot be read")
    found = unlabelled_images(app.project, app.datastore)
    left = set(app.datastore.list_images()) - {"i00", "i01", "i03"}
    assert found.keys() == {f"target {image}" for image in left} | {"source i00", "source i01"}
    assert "target i02" in found  # somebody annotates it, and it has no label yet
    assert found["source i00"] == source / "i00.png"
    assert found["target i04"] == app.studies / "i04.png"


def test_a_training_learns_from_as_many_images_as_the_settings_allow_and_from_none_that_is_not_here(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = app.project.pool(app.datastore)
    app.reopen({**CONF, "unlabelled": "5", "seed": "0"})
    found = unlabelled_images(app.project, app.datastore)
    assert len(found) == 5
    assert unlabelled_images(app.project, app.datastore) == found
    app.reopen({**CONF, "unlabelled": "5", "seed": "1"})
    assert unlabelled_images(app.project, app.datastore) != found

    not_fetched = {**pool, "1.2.3": app.studies / "1.2.3.dcm"}  # as a series of an archive before it is needed
    monkeypatch.setattr(app.project, "pool", lambda datastore: not_fetched)
    app.project.settings = replace(app.project.settings, unlabelled=len(not_fetched))
    assert unlabelled_images(app.project, app.datastore).keys() == {f"target {image}" for image in pool}
