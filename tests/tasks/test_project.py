"""The state of a server's work, and what the tasks make of it: real datastore, real scoring, in one process."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from tests.support.app import CONF, App
from tests.support.foundations import Small, script
from tests.support.pools import write
from xssr_strategy.pool.ranking import standardised_vectors
from xssr_strategy.selection import XSSR, CoreSet
from xssr_strategy.tasks.encoder_trainer import EncoderTrainer
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.startup import StartupError
from xssr_strategy.tasks.strategy import SelectorStrategy


@pytest.fixture
def app(tmp_path, monkeypatch) -> App:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    return App(tmp_path)


def test_from_waiting_to_ready_and_nothing_more_to_do(app: App) -> None:
    assert app.state() == "waiting"
    assert app.due()
    result = app.score()
    assert (result["state"], result["embedded"], result["pool"], result["failed"]) == ("ready", 16, 16, 0)
    assert app.state() == "ready"
    assert not app.due()
    assert not app.due(look_at_files=True)
    app.reopen()  # a restart finds the work done
    assert app.state() == "ready"
    assert not app.due(look_at_files=True)


def test_labels_in_order_need_no_scoring_and_out_of_order_do(app: App) -> None:
    app.score()
    for rank in range(1, 4):
        answer = app.next()
        assert answer["rank"] == rank
        app.label(answer["id"])
        assert not app.due()
    last = app.project.ranking.picks[-1].image
    app.label(last)
    assert app.due()
    answer = app.next()  # exact at once; the new ranking renews alpha and the advice
    assert answer["rank"] == 5
    app.score()
    assert not app.due()
    assert app.next()["rank"] == 5


def test_the_answer_is_that_of_a_fresh_run_after_labels_in_any_order(app: App) -> None:
    app.score()
    ranking = app.project.ranking
    images, target, source = standardised_vectors(ranking.encoder, app.project.embedded, app.project.store)
    labelled: set[str] = set()
    for image in (images[7], images[2], ranking.picks[0].image, images[11]):
        answer = app.next()
        rows = [row for row, name in enumerate(images) if name in labelled]
        fresh = XSSR(ranking.alpha).select(target, 1, source, rows)
        assert answer["id"] == images[fresh.indices[0]]
        assert answer["rank"] == len(labelled) + 1
        assert answer["advice"] == ranking.advice
        assert answer["coverage"]["curve"][0] == [1, ranking.coverage[0]]
        json.dumps(answer, allow_nan=False)
        if labelled:
            nearest = np.linalg.norm(target[:, None] - target[rows][None], axis=2).min(axis=1)
            expected = (nearest.mean(), nearest.max())
            assert (answer["coverage"]["mean"], answer["coverage"]["max"]) == pytest.approx(expected, rel=1e-5)
        else:
            assert answer["coverage"]["mean"] is None
        app.label(image)
        labelled.add(image)
    path = app.studies / "labels" / "final" / f"{images[7]}.png"
    path.unlink()  # a label is deleted: its image is free again
    app.datastore.refresh()
    rows = [row for row, name in enumerate(images) if name in labelled - {images[7]}]
    assert app.next()["id"] == images[XSSR(ranking.alpha).select(target, 1, source, rows).indices[0]]


@pytest.mark.slow
def test_a_new_image_is_handed_out_last_until_it_is_ranked(app: App) -> None:
    app.score()
    for pick in app.project.ranking.picks:
        app.label(pick.image)
    assert app.next() is None
    shutil.copy(app.studies / "i00.png", app.studies / "new.png")
    app.datastore.refresh()
    assert app.state() == "waiting"
    assert app.due()
    answer = app.next()
    assert answer["id"] == "new"
    assert answer["reason"] == "Picked at random, because the images left are new and not ranked yet."
    app.score()
    assert app.next()["rank"] == 17


@pytest.mark.slow
def test_a_replaced_file_is_noticed_when_files_are_looked_at(app: App) -> None:
    app.score()
    write(app.studies, 1, 9)
    assert not app.due()
    assert app.due(look_at_files=True)
    app.score()
    assert not app.due(look_at_files=True)


@pytest.mark.slow
def test_a_deleted_image_leaves_pool_and_store(app: App) -> None:
    app.score()
    first = app.next()["id"]
    (app.studies / f"{first}.png").unlink()
    app.datastore.refresh()
    assert app.next()["id"] != first
    assert app.score()["pool"] == 15
    assert len(app.project.embedded) == 15


def test_what_cannot_be_read_is_set_aside_and_not_handed_out(app: App) -> None:
    (app.studies / "bad.png").write_bytes(b"no image")
    app.datastore.refresh()
    result = app.score()
    assert (result["state"], result["embedded"], result["failed"]) == ("ready", 16, 1)
    assert "bad.png" in app.scoring.info()["reasons"]["bad"]
    seen = set()
    while answer := app.next():
        seen.add(answer["id"])
        app.label(answer["id"])
    assert len(seen) == 16
    assert "bad" not in seen


@pytest.mark.slow
def test_a_failure_is_tried_again_when_the_file_is_whole_or_the_preset_another(app: App) -> None:
    half = (app.studies / "i00.png").read_bytes()
    (app.studies / "half.png").write_bytes(half[: len(half) // 2])
    app.datastore.refresh()
    assert app.score()["failed"] == 1
    assert not app.due()
    (app.studies / "half.png").write_bytes(half)
    assert app.due()
    assert app.score()["failed"] == 0

    app.reopen({**CONF, "preset": "mri"})
    assert "none of the 17 images can be read" in app.score()["error"]
    assert "none of the 17 images can be read" in app.scoring.info()["error"]
    assert "the scoring stopped" in (app.next() or {"reason": "the scoring stopped"})["reason"]
    app.reopen({**CONF, "preset": "xray"})
    assert app.score()["embedded"] == 17
    assert app.scoring.info()["error"] == ""


def test_another_rule_is_ready_only_when_it_has_ranked(app: App) -> None:
    app.score()
    app.reopen({**CONF, "combination": "sum"})
    assert app.state() == "waiting"
    assert app.due()
    app.score()
    assert app.state() == "ready"


def test_encoder_trainer_never_waits_for_the_scoring(app: App) -> None:
    app.project.workspace.root.mkdir(exist_ok=True)
    with FileLock(app.project.workspace.lock):
        assert EncoderTrainer(app.project)({}, app.datastore) == {"status": "busy"}


@pytest.mark.slow
def test_encoder_trainer_trains_once_and_again_when_the_source_changes(app: App, tmp_path) -> None:
    source = write(tmp_path / "source", 6, 2)
    app.reopen({**CONF, "source": str(source)})
    trainer = EncoderTrainer(app.project)
    assert trainer({}, app.datastore)["status"] == "trained"
    assert trainer({}, app.datastore) == {"status": "up to date"}
    app.score()
    before = app.project.encoder
    assert not app.due()
    write(source, 7, 3)
    assert trainer({}, app.datastore)["status"] == "trained"
    assert app.due()  # the vectors are those of the encoder before
    app.score()
    assert app.project.encoder != before
    assert trainer({}, app.datastore) == {"status": "up to date"}


def test_encoder_trainer_leaves_a_foundation_encoder_as_it_is(app: App, tmp_path) -> None:
    file = script(tmp_path / "net.ts", Small(1))
    app.reopen({**CONF, "encoder": f"torchscript:{file}"})
    trainer = EncoderTrainer(app.project)
    assert trainer({}, app.datastore) == {"status": "not trained here"}
    app.score()
    assert app.state() == "ready"
    assert trainer({}, app.datastore) == {"status": "not trained here"}
    assert trainer.stats()["dim"] == 5
    assert not app.due()


def test_a_foundation_encoder_without_weights_is_named_in_the_state_of_the_work(app: App) -> None:
    app.reopen({**CONF, "encoder": "radimagenet"})
    app.score()
    assert "needs the file ResNet50.pt of RadImageNet" in json.dumps(app.scoring.info())
    assert "Picked at random" in app.next()["reason"]


def test_coreset_picks_given_the_labels(app: App) -> None:
    coreset = SelectorStrategy("CoreSet", app.project, CoreSet())
    assert "Picked at random" in coreset({}, app.datastore)["reason"]
    app.score()
    seen = []
    while answer := coreset({}, app.datastore):
        seen.append(answer["id"])
        app.label(answer["id"])
    assert sorted(seen) == sorted(path.stem for path in app.studies.glob("*.png"))


def test_preset_is_kept_from_the_first_start(app: App) -> None:
    assert app.project.preset.name == "xray"
    for path in app.studies.glob("*.png"):
        rgb = np.stack([np.asarray(Image.open(path)), np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)], 2)
        Image.fromarray(rgb).save(path)
    app.reopen()
    assert app.project.preset.name == "xray"
    app.reopen({**CONF, "preset": "fundus"})
    assert app.project.preset.name == "fundus"


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"alpah": "1"}, "--conf alpah: no such key"),
        ({"source": "/no/such"}, "must be a folder that exists"),
        ({"preset": "pet"}, "must be one of auto, xray"),
    ],
)
def test_a_wrong_setting_refuses_the_start(tmp_path, conf, message) -> None:
    studies = write(tmp_path / "studies", 2, 1)
    with pytest.raises(StartupError, match=message):
        Project(str(studies), conf)


def test_empty_folders_and_silent_archives_refuse_the_start(tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StartupError, match="no image is there; put images"):
        Project(str(empty), {})
    with pytest.raises(StartupError, match=r"--conf source .*empty: no image is there"):
        Project(str(write(tmp_path / "studies", 2, 1)), {"source": str(empty)})
    with pytest.raises(StartupError, match=r"dicom-web does not answer .*: start the archive or correct its address"):
        Project("http://127.0.0.1:1/dicom-web", {})
