"""OHIF in a real browser, on a real archive: the clicks of an annotator, and what they show.

The pool is simulated, so that the screenshots may be shown to anybody; a real series is segmented too. Screenshots
go to the folder that ``XSSR_SCREENSHOTS`` names, or to pytest's own.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.e2e import requirements
from tests.support.data import DICOM, need
from tests.support.dicom_series import WrittenSeries, write_volume
from tests.support.harness import saved
from tests.support.orthanc import Orthanc
from tests.support.orthanc import need as need_program
from tests.support.warm import start_archive_server
from xssr_strategy.cli import main
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.phantoms import SCANNER_B, write_phantoms
from xssr_strategy.demo.server import Server

pytestmark = pytest.mark.e2e

POOL, LABELLED = 12, 8
SCANNER = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality":"MR","StationName":"SCANNER-B"}'}


@dataclass
class Ward:
    """An archive of MR series, a server on it, and where pictures go."""

    archive: Orthanc
    server: Server
    annotator: RestAnnotator
    volumes: dict[str, WrittenSeries]
    folder: Path
    pictures: Path


@pytest.fixture(scope="module")
def ward(tmp_path_factory) -> Iterator[Ward]:
    need_program(requirements.browser())
    need(DICOM)
    folder = tmp_path_factory.mktemp("ward")
    pictures = Path(os.environ.get("XSSR_SCREENSHOTS") or folder / "screenshots")
    pictures.mkdir(parents=True, exist_ok=True)
    images, labels = folder / "images", folder / "labels"
    names = sorted(write_phantoms(images, labels, POOL, SCANNER_B, 0.25, seed=7))
    volumes = []
    for name in names:
        image, label = images / f"{name}.nii.gz", labels / f"{name}.nii.gz"
        volumes.append(write_volume(folder / name, f"Phantom-{name}", image, label, "SCANNER-B"))
    with Orthanc(folder / "orthanc") as archive:
        for series in volumes:
            archive.load(series.files)
        archive.load(sorted(DICOM.glob("mr_hcrop_*/*.dcm")))
        conf = {"labels": "liver", "encoder_steps": 8, "budget": 5}
        with start_archive_server(archive, folder, conf, **SCANNER) as server:
            annotator = RestAnnotator(server.url, "somebody with 3D Slicer")
            annotator.wait_until_ready(600)
            yield Ward(archive, server, annotator, {one.uid: one for one in volumes}, folder, pictures)


def ranked_first(ward: Ward, monkeypatch: pytest.MonkeyPatch, out: Path) -> dict[str, str]:
    """The first row of ``xssr select --worklist`` on the same archive."""
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(ward.folder / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(ward.folder / "data"))
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_SEARCH_FILTER", SCANNER["MONAI_LABEL_DICOMWEB_SEARCH_FILTER"])
    arguments = ["select", "--studies", ward.archive.url, "--out", str(out / "picks.csv"), "--budget", "5"]
    arguments += ["--encoder-steps", "8", "--worklist", str(out / "next.csv"), "--viewer", ward.server.url]
    assert main(arguments) == 0
    with (out / "next.csv").open(encoding="utf-8") as file:
        return next(csv.DictReader(file))


def test_an_annotator_at_ohif(ward: Ward, tmp_path, monkeypatch) -> None:
    from tests.support.ohif import Ohif

    first = ranked_first(ward, monkeypatch, tmp_path)
    unseen = max(list(ward.volumes.values())[LABELLED:], key=in_middle_slices)  # nobody labels it
    with Ohif(ward.server.url) as ohif:
        ohif.open(unseen.study)
        assert "Successful" in ohif.connect()
        ohif.screenshot(ward.pictures / "ohif-1-connected.png")

        sample = ohif.next_sample()
        ohif.screenshot(ward.pictures / "ohif-2-next-sample.png")
        assert sample["Patient ID"] == first["patient"]  # what XSSR ranks first, though OHIF asks for "random"
        assert sample["Study Instance UID"] == first["study"]
        assert sample["Series Instance UID"] == first["image"]
        assert first["link"] == f"{ward.server.url}/ohif/monai-label?StudyInstanceUIDs={first['study']}"
        ohif.open_sample()
        assert ohif.study == first["study"]

        # OHIF cannot submit a label, so somebody with 3D Slicer does.
        for series in list(ward.volumes.values())[:LABELLED]:
            ward.annotator.submit(series.uid, saved(series.label, tmp_path))

        ohif.connect()
        assert "STARTED" in ohif.update_model().upper()
        stats = wait_for_an_epoch(ward)
        assert stats["epoch"] >= 1
        ohif.screenshot(ward.pictures / "ohif-3-training.png")
        assert "STOPPED" in ohif.stop_training().upper()
        wait_until_nothing_runs(ward)

        ward.annotator.train(600, max_epochs=8, steps_per_epoch=24)
        ohif.open(unseen.study)
        ohif.connect()
        assert not any(ohif.mask_pixels(patience=0.5).values())
        assert "Successful" in ohif.segment()
        pixels = ohif.mask_pixels()
        ohif.screenshot(ward.pictures / "ohif-4-mask.png")
        assert len(pixels) == 3
        assert min(pixels.values()) > 200
        mask = server_mask(ward, unseen.uid)
        assert ohif.mask_voxels() == {"liver": int(mask.sum())}
        truth = sitk.GetArrayFromImage(unseen.label) > 0
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.6

        # A real series, which is not even in the pool.
        study = ward.archive.ask(f"/studies/{ward.archive.find('Study', PatientID='PGBM-006')[0]}")
        ohif.open(study["MainDicomTags"]["StudyInstanceUID"])
        ohif.connect()
        assert "Successful" in ohif.segment()
        real = ward.archive.ask(f"/series/{study['Series'][0]}")["MainDicomTags"]["SeriesInstanceUID"]
        assert ohif.mask_voxels() == {"liver": int(server_mask(ward, real).sum())}

        assert ohif.errors == []
        assert "POST /activelearning/random 200" in ohif.requests
        assert not [line for line in ohif.requests if line.endswith(" 500")]


def in_middle_slices(series: WrittenSeries) -> int:
    """Label voxels in the middle slice, which OHIF shows first, of the axis where they are fewest."""
    label = sitk.GetArrayFromImage(series.label) > 0
    return min(int(label.take(label.shape[axis] // 2, axis).sum()) for axis in range(3))


def server_mask(ward: Ward, series: str) -> np.ndarray:
    """Where the server's own mask of a series is, as others get it."""
    file, _ = ward.annotator.client.infer("segmentation", series, {})
    return sitk.GetArrayFromImage(sitk.ReadImage(file)) > 0


def wait_for_an_epoch(ward: Ward) -> dict:
    deadline = time.monotonic() + 6000
    while time.monotonic() < deadline:
        stats = ward.annotator.client.info()["train_stats"]["segmentation"]
        if stats.get("epoch", 0) >= 1:
            return stats
        time.sleep(0.3)
    raise AssertionError("the training did not move within two minutes")


def wait_until_nothing_runs(ward: Ward) -> None:
    deadline = time.monotonic() + 600
    while ward.annotator.client.train_status()["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < deadline, "the training did not stop"
        time.sleep(0.3)
