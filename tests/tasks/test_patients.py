"""The server by patients: no second image of one before every patient has been considered."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import xssr_strategy.pool.patients as pool_patients
from tests.support.app import CONF, App
from tests.support.image_files import write_dicom_of
from tests.support.pools import write
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.pool.patients import learn_patients
from xssr_strategy.settings import parse_settings
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.startup import StartupError


class Patients(App):
    """Sixteen images of BIDS subjects: eight of the first, two of each of the other four."""

    def __init__(self, root: Path, conf: dict[str, str]) -> None:
        self.studies = write(root / "studies", 16, 1)
        self.patient = {}
        for number, file in enumerate(sorted(self.studies.glob("*.png"))):
            image = f"sub-{max(0, number // 2 - 3)}_ses-{number:02}"
            file.rename(file.with_stem(image))
            self.patient[image] = image.split("_")[0]
        self.reopen({**CONF, **conf})


def test_every_patient_comes_before_any_comes_again(tmp_path: Path) -> None:
    app = Patients(tmp_path, {"per_patient": "true"})
    app.score()
    first = app.next()
    assert "the first image of its patient" in first["reason"]
    mate = next(image for image in app.patient if app.patient[image] == "sub-0" and image != first["id"])
    app.label(mate)  # nobody asked for it: the patient counts all the same
    handed = [app.ask(f"annotator {number}") for number in range(6)]
    counts = Counter(app.patient[one["id"]] for one in handed[:4])
    assert counts == {f"sub-{number}": 1 for number in range(1, 5)}
    assert all("the first image of its patient" in one["reason"] for one in handed[:4])
    assert all("the second image of its patient, as every patient has one" in one["reason"] for one in handed[4:])
    assert app.state() == "ready"
    app.score()
    assert not app.due()
    left = [pick.image for pick in app.project.ranking.picks]
    assert len({app.patient[image] for image in left[:4]}) == 4  # the worklist says so, too


@pytest.mark.slow
def test_it_is_off_by_default_and_can_be_switched_on_later(tmp_path: Path) -> None:
    app = Patients(tmp_path, {})
    app.score()
    assert "patient" not in app.next()["reason"]
    key = app.project.ranking.key
    app.reopen({**CONF, "per_patient": "true"})
    assert app.due()
    app.score()
    assert not app.due(look_at_files=True)
    assert app.project.ranking.key != key
    assert "the first image of its patient" in app.next()["reason"]
    app.reopen({**CONF})
    app.score()
    assert app.project.ranking.key == key


@pytest.mark.slow
def test_a_table_with_byte_order_mark(tmp_path: Path) -> None:
    app = Patients(tmp_path, {})
    table = tmp_path / "patients.csv"
    lines = [f"{image}.png,{'A' if number < 15 else 'B'}" for number, image in enumerate(sorted(app.patient))]
    table.write_bytes("\r\n".join(["\ufeffimage,patient", *lines, ""]).encode())
    app.reopen({**CONF, "per_patient": "true", "patients": str(table)})
    app.score()
    handed = {app.ask("one")["id"], app.ask("two")["id"]}
    assert max(app.patient) in handed
    table.write_text("image,patient\nghost,A\n")
    with pytest.raises(StartupError, match=r"--conf patients .*line 2: 'ghost' is none of the 16 images"):
        app.reopen({**CONF, "per_patient": "true", "patients": str(table)})


@pytest.mark.slow
def test_nobody_says_of_whom_the_images_are(tmp_path: Path) -> None:
    app = App(tmp_path, {**CONF, "per_patient": "true"})
    assert "--conf per_patient: nothing says of whom an image is; name a CSV file" in app.score()["error"]
    assert "with --conf patients." in app.project.state(app.datastore).error
    with pytest.raises(UserError, match=r"--conf patients: is read for per_patient and poly_cl alone"):
        parse_settings({"patients": str(next(app.studies.glob("*.png")))})


def test_a_dicom_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = {f"a{n}": write_dicom_of(tmp_path / f"a{n}.dcm", f"P{n // 2}") for n in range(4)}
    series = write_dicom_of(tmp_path / "series" / "1.dcm", "P1").parent
    write_dicom_of(series / "2.dcm", "P1")
    pool["series"] = series
    store, settings = EmbeddingStore(tmp_path / "embeddings.sqlite"), parse_settings({"per_patient": "true"})
    opened: list[str] = []
    real = pool_patients.patient_of
    monkeypatch.setattr(pool_patients, "patient_of", lambda image, path: opened.append(image) or real(image, path))
    wanted = {"a0": "P0", "a1": "P0", "a2": "P1", "a3": "P1", "series": "P1"}
    assert learn_patients(pool, settings, store, None) == wanted
    assert learn_patients(pool, settings, store, None) == wanted
    assert sorted(opened) == sorted(pool)
    write_dicom_of(pool["a0"], "Another one")
    assert learn_patients(pool, settings, store, None) == {**wanted, "a0": "Another one"}
    assert opened[len(pool) :] == ["a0"]


@pytest.mark.slow
def test_the_server_opens_no_image_for_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Patients(tmp_path, {"per_patient": "true"})
    app.score()
    fresh = Project(str(app.studies), {**CONF, "per_patient": "true"})
    monkeypatch.setattr(pool_patients, "patient_of", lambda image, path: pytest.fail(f"{image} is opened"))
    assert not fresh.scoring_is_due(StudiesDatastore(str(app.studies)))
    assert app.ask()["id"] in app.patient
