"""What an archive or a second server can do to the first, and what is lost then: nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless

from tests.support.data import SHENZHEN, need
from tests.support.dicom_series import write_phantom
from tests.support.harness import copy_pool
from tests.support.orthanc import Orthanc
from tests.support.warm import start_archive_server, start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.errors import UserError

pytestmark = pytest.mark.e2e


def test_an_archive_that_is_down_at_the_first_start_is_one_line(tmp_path) -> None:
    archive = Orthanc(tmp_path / "orthanc")  # never started
    with pytest.raises(UserError, match="the server did not start"):
        start_archive_server(archive, tmp_path, {}).__enter__()
    lines = (tmp_path / "server.log").read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if "does not answer" in line]
    assert len(told) == 1
    assert "start the archive or correct its address" in told[0]
    assert not any("Traceback" in line for line in lines)


def test_a_restart_while_the_archive_is_down_and_a_series_that_cannot_be_decoded(tmp_path) -> None:
    pool = [write_phantom(tmp_path / "new", number, "MR", shape=(24, 24, 8)) for number in range(5)]
    source = [write_phantom(tmp_path / "old", number, "MR", shape=(24, 24, 8), station="OLD") for number in range(3)]
    broken = write_phantom(tmp_path / "broken", 99, "MR", shape=(24, 24, 8))
    for file in broken.files:
        one = pydicom.dcmread(file)
        one.file_meta.TransferSyntaxUID = JPEG2000Lossless
        one.PixelData = pydicom.encaps.encapsulate([b"no JPEG 2000 at all."])
        one["PixelData"].is_undefined_length = True
        one.save_as(file)
    with Orthanc(tmp_path / "orthanc") as archive, Orthanc(tmp_path / "elsewhere") as elsewhere:
        for series in [*pool, broken]:
            archive.load(series.files)
        for series in source:
            elsewhere.load(series.files)
        conf = {"source": f"{elsewhere.url}?Modality=MR", "encoder_steps": 20}
        only_mr = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality":"MR"}'}
        with start_archive_server(archive, tmp_path, conf, **only_mr) as server:
            annotator = RestAnnotator(server.url)
            annotator.wait_until_ready(600)
            state = annotator.state()
            assert (state["embedded"], state["pool"], state["failed"]) == (5, 6, 1)
            assert list(state["reasons"]) == [broken.uid]
            assert "is damaged" in state["reasons"][broken.uid]
            first = annotator.next_sample()
            assert first["id"] in {series.uid for series in pool}
            assert "the source domain" in first["reason"]  # novelty is on, with a source in another archive
        archive.stop()
        elsewhere.stop()
        with start_archive_server(archive, tmp_path, conf, **only_mr) as server:
            again = RestAnnotator(server.url, "somebody else")
            assert again.next_sample()["rank"] == 2  # ranked, from what is on this machine; the lease still holds


def test_two_servers_on_one_folder_share_the_pool_and_keep_every_label(tmp_path) -> None:
    need(SHENZHEN)
    ids = sorted(path.stem for path in (SHENZHEN / "images").iterdir())[:12]
    studies = copy_pool(SHENZHEN / "images", ids, tmp_path / "studies")
    conf = {"labels": "lung", "encoder_steps": 5}
    first = start_server(studies, conf, tmp_path / "first.log", app=app_copy(tmp_path / "first"))
    second = start_server(studies, conf, tmp_path / "second.log", app=app_copy(tmp_path / "second"))
    with first, second:
        people = [RestAnnotator(server.url, f"reader-{n}") for n, server in enumerate([first, second] * 2)]
        for annotator in people[:2]:
            annotator.wait_until_ready(600)

        def work(annotator: RestAnnotator) -> list[str]:
            done = []
            while (image := annotator.next_sample().get("id")) is not None:
                annotator.submit(image, SHENZHEN / "labels" / f"{image}.png")
                done.append(image)
            return done

        with ThreadPoolExecutor(len(people)) as readers:
            shares = list(readers.map(work, people))
    given = [image for share in shares for image in share]
    assert sorted(given) == ids  # each image once, and none forgotten
    assert sorted(path.stem for path in (studies / "labels" / "final").glob("*.png")) == ids
    with start_server(studies, conf, tmp_path / "third.log") as third:
        info = RestAnnotator(third.url).client.info()
        assert info["datastore"]["completed"] == len(ids)
        assert RestAnnotator(third.url).next_sample() == {}


def app_copy(folder: Path) -> Path:
    """The app in a folder of its own, as two machines have it."""
    from tests.support.harness import APP

    folder.mkdir()
    (folder / "main.py").write_text((APP / "main.py").read_text(encoding="utf-8"), encoding="utf-8")
    return folder
