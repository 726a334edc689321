"""A server that is started on what an earlier version of the reading made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.app import App
from tests.support.odd_pictures import png
from tests.support.version_stores import as_before
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.tasks.model_scoring import EntropyScoring


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    one = App(tmp_path)
    (one.studies / "i03.png").write_bytes(png(16, 20, 16, 2, (b"\0" + bytes(range(96))) * 20))
    one.reopen()
    one.score()
    return one


def test_a_start_scores_once_and_hands_out_meanwhile(app: App) -> None:
    as_before(app.project.workspace.store, "vectors")
    app.reopen()
    assert app.next() is not None
    assert app.due(look_at_files=True)
    assert app.score()["embedded"] == 16
    assert app.state() == "ready"
    app.reopen()
    assert not app.due(look_at_files=True)


def test_entropies_of_what_is_read_otherwise_are_found_again(app: App) -> None:
    plan = SegmentationPlan("xray", 2, 1, ("foreground",), (), (32, 32))
    publish(build_unet(2, 1, 2).state_dict(), plan, app.project.workspace.segmentation)
    scoring = EntropyScoring(app.project, app.datastore)
    assert scoring({}, app.datastore)["scored"] == 16
    assert not app.project.uncertainty.is_due(lambda: app.project.unlabelled(app.datastore))
    entropies = app.project.uncertainty.asked()
    as_before(app.project.workspace.uncertainty, "entropies")
    app.project.uncertainty.store.want("auto")
    assert app.project.uncertainty.is_due(lambda: app.project.unlabelled(app.datastore))
    assert app.project.uncertainty.asked() == entropies  # of use until then
    assert scoring({}, app.datastore)["scored"] == 1
    assert scoring({}, app.datastore)["scored"] == 0
    assert not app.project.uncertainty.is_due(lambda: app.project.unlabelled(app.datastore))
    assert app.project.uncertainty.asked() == entropies
