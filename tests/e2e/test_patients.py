"""Nothing of a patient in any log: a real archive and a folder of DICOM, with unmistakable patients."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import requests
from playwright.sync_api import expect
from pydicom.uid import JPEG2000Lossless

from tests.support.dicom_series import WrittenSeries, write_phantom
from tests.support.harness import APP, saved
from tests.support.map_page import DRAWN, browsed, card_of, chromium
from tests.support.orthanc import Orthanc
from tests.support.warm import start_archive_server, start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.server import Server
from xssr_strategy.embedding.store import TARGET, EmbeddingStore

pytestmark = pytest.mark.e2e

SCRIPT = "<script>alert('Zanzibar')</script>"
PATIENT = {
    "PatientName": f"Zanzibar^{SCRIPT}",
    "PatientID": "Quokka<img src=x onerror=alert(1)>",
    "PatientBirthDate": "19230314",
    "AccessionNumber": "Wombat4711",
    "ReferringPhysicianName": "Narwhal^Doctor",
    "PatientAddress": "Axolotl Street",
    "SeriesDescription": "Pangolin's knee",
}
TOLD = ("Zanzibar", "Quokka", "19230314", "Wombat4711", "Narwhal", "Axolotl", "Pangolin")
SHAPE = (24, 24, 8)


def patients(folder: Path, numbers: range) -> list[WrittenSeries]:
    """Series of a patient of whom nobody may read in a log; the first cannot be read."""
    series = [write_phantom(folder / str(number), number, "MR", shape=SHAPE) for number in numbers]
    for one in series:
        for file in one.files:
            dataset = pydicom.dcmread(file)
            for keyword, value in PATIENT.items():
                setattr(dataset, keyword, value)
            if one is series[0]:
                dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
                dataset.PixelData = pydicom.encaps.encapsulate([b"no JPEG 2000 at all."])
                dataset["PixelData"].is_undefined_length = True
            dataset.save_as(file)
    return series


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path, list[WrittenSeries]]]:
    folder = tmp_path_factory.mktemp("patients")
    series = patients(folder / "new", range(6))
    app = folder / "app"
    app.mkdir()
    shutil.copy2(APP / "main.py", app)
    with Orthanc(folder / "orthanc") as archive:
        for one in series:
            archive.load(one.files)
        only_mr = {
            "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality":"MR"}',
            "MONAI_LABEL_SESSION_PATH": str(folder / "s"),
        }
        with start_archive_server(archive, folder, {"encoder_steps": 4}, app=app, **only_mr) as server:
            yield server, folder, series


def used(server: Server, folder: Path, label: dict[str, Path], train: bool) -> None:
    """Everything that people do."""
    annotator = RestAnnotator(server.url, "ann")
    annotator.wait_until_ready(600)
    info = annotator.client.info()
    assert not any(word in json.dumps(info) for word in TOLD)
    for strategy in ("xssr", "coreset", "random"):
        sample = annotator.next_sample(strategy)
        requests.get(f"{server.url}/datastore/image?image={sample['id']}", timeout=300)
        requests.get(f"{server.url}/datastore/image/info?image={sample['id']}", timeout=300)
        if strategy != "random":
            annotator.submit(sample["id"], label[sample["id"]])
    one = list(label)[1]
    if train:
        annotator.train(600, max_epochs=1, steps_per_epoch=1)
    for asked in (f"?image={one}", f"?image={one}&output=json", "?image=1.2.3"):
        requests.post(f"{server.url}/infer/segmentation{asked}", timeout=300)
    named = folder / "Zanzibar, born 19230314.nii.gz"  # as on the annotator's machine
    shutil.copy2(label[one], named)
    with named.open("rb") as file:
        session = requests.put(f"{server.url}/session/", files={"files": (named.name, file)}, timeout=300).json()
    requests.post(f"{server.url}/infer/segmentation?session_id={session['session_id']}", timeout=300)
    with named.open("rb") as file:
        requests.post(f"{server.url}/infer/segmentation", files={"file": (named.name, file)}, timeout=300)
    skip = {"client_id": "ann", "skip": one, "skip_reason": "motion"}
    requests.post(f"{server.url}/activelearning/xssr", json=skip, timeout=300)
    for path in ("data", "state"):
        assert not any(word in requests.get(f"{server.url}/xssr/map/{path}", timeout=300).text for word in TOLD)
    deadline = time.monotonic() + 600
    while requests.get(f"{server.url}/scoring/", timeout=300).json()["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def words_in(files: list[Path]) -> list[str]:
    """The lines in which something of the patient stands."""
    lines = [line for file in files for line in file.read_text("utf-8", "replace").splitlines()]
    return [line[:300] for line in lines if any(word in line for word in TOLD)]


def test_an_archive(archived: tuple[Server, Path, list[WrittenSeries]]) -> None:
    server, folder, series = archived
    labels = {one.uid: saved(one.label, folder / "labels", f"{n}.nii.gz") for n, one in enumerate(series)}
    used(server, folder, labels, train=True)
    told = requests.get(f"{server.url}/datastore/image/info?image={series[1].uid}", timeout=300).json()
    assert told["PatientID"] == PATIENT["PatientID"]  # viewers show it
    logs = [server.log, folder / "app" / "logs" / "app.log"]
    assert words_in(logs) == []
    assert "Next sample: " in logs[0].read_text(encoding="utf-8", errors="replace")  # what an engineer needs
    for file in (folder / "data").rglob("embeddings.sqlite"):
        reasons = EmbeddingStore(file).failures(TARGET)
        assert list(reasons) == [series[0].uid]
        assert not any(word in str(reasons) for word in TOLD)


def test_the_map_shows_names_as_text(archived: tuple[Server, Path, list[WrittenSeries]]) -> None:
    server, _, series = archived
    reason = f"{SCRIPT}<img src=x onerror=alert(2)>"
    body = {"skip": series[2].uid, "skip_reason": reason}
    requests.post(f"{server.url}/activelearning/xssr", json=body, timeout=300)
    with chromium() as browser, browsed(browser, f"{server.url}/xssr/map") as (page, noted):
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.wait_for_selector(DRAWN, timeout=180_000)
        assert reason in card_of(page, series[2].uid)
        expect(page.locator("#card script")).to_have_count(0)
        expect(page.locator("#card img[src=x]")).to_have_count(0)
        assert dialogs == []
        assert [one for one in noted if not one.startswith("asked for ")] == []


def test_a_folder(tmp_path: Path) -> None:
    series = patients(tmp_path / "made", range(10, 15))
    studies, app = tmp_path / "studies", tmp_path / "app"
    app.mkdir()
    shutil.copy2(APP / "main.py", app)
    labels = {}
    for number, one in enumerate(series):
        shutil.copytree(one.files[0].parent, studies / f"scan{number}")
        labels[f"scan{number}"] = saved(one.label, tmp_path / "labels", f"{number}.nii.gz")
    own = {"MONAI_LABEL_SESSION_PATH": str(tmp_path / "s")}
    with start_server(studies, {"encoder_steps": 4}, tmp_path / "server.log", app=app, more=own) as server:
        used(server, tmp_path, labels, train=False)
    assert words_in([tmp_path / "server.log", app / "logs" / "app.log"]) == []
    reasons = EmbeddingStore(studies / ".xssr" / "embeddings.sqlite").failures(TARGET)
    assert not any(word in str(reasons) for word in TOLD)
