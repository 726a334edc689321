"""``xssr select``, ``xssr pool`` and ``xssr review`` on a real Orthanc."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import numpy as np
import pytest
import SimpleITK as sitk

from tests.support.dicom_series import WrittenSeries, write_phantom
from tests.support.judged import publish_judged
from tests.support.orthanc import Orthanc
from xssr_strategy.archive.dicom_seg import write_segmentation
from xssr_strategy.cli import main
from xssr_strategy.pool.workspace import server_workspace
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.settings import Settings

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator[tuple[Orthanc, dict[str, WrittenSeries]]]:
    folder = tmp_path_factory.mktemp("archive")
    series = [write_phantom(folder / str(number), number, "MR", shape=(16, 16, 8)) for number in range(8)]
    with Orthanc(folder / "orthanc") as archive:
        for one in series:
            archive.load(one.files)
        write_segmentation(series[3].label, series[3].files[0].parent, ("organ",), folder / "seg.dcm")
        archive.load([folder / "seg.dcm"])
        yield archive, {one.uid: one for one in series}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_SEARCH_FILTER", '{"Modality": "MR"}')
    monkeypatch.setenv("COLUMNS", "250")


def test_the_worklist_of_an_archive_has_links_that_open_in_ohif(filled, tmp_path, capsys) -> None:
    archive, series = filled
    arguments = ["select", "--studies", archive.url, "--out", str(tmp_path / "picks.csv"), "--encoder-steps", "1"]
    arguments += ["--budget", "3", "--worklist", str(tmp_path / "next.csv"), "--viewer", "http://server:8000/"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "8 images in the pool, 1 labelled, preset mri" in printed
    assert "fetching: 8 of 8" in printed
    with (tmp_path / "next.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["2", "3", "4"]
    assert len({row["image"] for row in rows}) == 3
    page = (tmp_path / "next.html").read_text(encoding="utf-8")
    for row in rows:
        one = series[row["image"]]
        assert (row["patient"], row["study"]) == (one.patient, one.study)
        assert row["link"] == f"http://server:8000/ohif/monai-label?StudyInstanceUIDs={one.study}"
        assert f'<a href="{row["link"]}">' in page
        assert row["reason"] in page
    again = [*arguments[:4], str(tmp_path / "again.csv"), *arguments[5:]]
    assert main(again) == 0
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "picks.csv").read_text()
    assert "fetching" not in capsys.readouterr().out


def test_the_archive_says_of_whom_its_series_are(filled, tmp_path, capsys) -> None:
    archive, series = filled
    arguments = ["select", "--studies", archive.url, "--out", str(tmp_path / "picks.csv"), "--encoder-steps", "1"]
    arguments += ["--budget", "3", "--per-patient"]
    assert main(arguments) == 0
    assert "8 images in the pool, 1 labelled, 8 patients" in capsys.readouterr().out
    text = (tmp_path / "picks.csv").read_text(encoding="utf-8")
    assert text.count("and the first image of its patient.") == 3
    assert not any(one.patient in text for one in series.values())
    table = tmp_path / "patients.csv"
    table.write_text("image,patient\n" + "".join(f"{uid},P{number % 2}\n" for number, uid in enumerate(sorted(series))))
    assert main([*arguments, "--patients", str(table)]) == 0
    assert "8 images in the pool, 1 labelled, 2 patients" in capsys.readouterr().out


def test_the_pool_of_an_archive_is_listed_and_series_are_skipped(filled, tmp_path, capsys) -> None:
    archive, series = filled
    assert main(["pool", "--studies", archive.url]) == 2
    assert "no server has worked on these studies yet" in capsys.readouterr().out
    select = ["select", "--studies", archive.url, "--out", str(tmp_path / "p.csv"), "--encoder-steps", "1"]
    assert main(select) == 0
    uid = next(iter(series))
    assert main(["pool", "--studies", archive.url, "--skip", uid, "--reason", "motion"]) == 0
    printed = capsys.readouterr().out
    assert "Pool of 8 images" in printed
    assert "segmentation 1.2.276" in printed
    assert "motion" in printed
    assert "6 of 8 images are waiting." in printed
    assert main(select) == 0
    assert "7 images in the pool" in capsys.readouterr().out


def test_the_masks_of_an_archive_are_reviewed_with_links_that_open_in_ohif(filled, tmp_path, capsys) -> None:
    archive, series = filled
    plan = SegmentationPlan("mri", 3, 1, ("organ",), (1.0, 1.0, 1.0), (16, 16, 16))
    publish_judged(server_workspace(archive.url, Settings()).segmentation, 1, plan=plan)
    out = tmp_path / "queue.csv"
    arguments = ["review", "--studies", archive.url, "--out", str(out), "--viewer", "http://server:8000"]
    assert main([*arguments, "--shown", "2"]) == 0
    assert "7 masks, 0 images that cannot be read." in capsys.readouterr().out  # the eighth has a segmentation
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert {row["image"] for row in rows} < series.keys()
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    for row in rows[:2]:
        one = series[row["image"]]
        assert f"http://server:8000/ohif/monai-label?StudyInstanceUIDs={one.study}" in page
        mask = sitk.ReadImage(row["mask"])
        assert mask.GetSize() == one.label.GetSize()
        np.testing.assert_allclose(mask.GetOrigin(), one.label.GetOrigin(), atol=1e-3)
        np.testing.assert_allclose(mask.GetDirection(), one.label.GetDirection(), atol=1e-3)  # of tags with few digits
    assert not any(row["mask"] for row in rows[2:])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--source", "?Modalty=MR"], "DICOM knows no Modalty"),
        (["--source", "?Modality=US"], "no image is there; name unlabelled images"),
        (["--source", "?Modality"], "--source ?Modality: must be a folder that exists, or series of an archive"),
        (["--worklist", "/no/such/folder/next.csv"], "its folder does not exist"),
    ],
)
def test_mistakes_are_one_sentence(filled, tmp_path, capsys, more, sentence) -> None:
    archive, _ = filled
    assert main(["select", "--studies", archive.url, "--out", str(tmp_path / "p.csv"), *more]) == 2
    printed = capsys.readouterr().out
    assert sentence in printed
    assert "Traceback" not in printed


def test_a_filter_without_a_match_and_a_dead_address(filled, tmp_path, capsys, monkeypatch) -> None:
    archive, _ = filled
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_SEARCH_FILTER", '{"Modality": "PT"}')
    assert main(["select", "--studies", archive.url, "--out", str(tmp_path / "p.csv")]) == 2
    assert "no series with Modality PT is there; name others with MONAI_LABEL" in capsys.readouterr().out
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_SEARCH_FILTER", "Modality=MR")
    assert main(["select", "--studies", archive.url, "--out", str(tmp_path / "p.csv")]) == 2
    assert "must be JSON such as" in capsys.readouterr().out
    monkeypatch.delenv("MONAI_LABEL_DICOMWEB_SEARCH_FILTER")
    assert main(["select", "--studies", "http://127.0.0.1:1/dicom-web", "--out", str(tmp_path / "p.csv")]) == 2
    assert "does not answer" in capsys.readouterr().out


def test_a_filter_as_source_needs_an_archive(tmp_path, capsys) -> None:
    (tmp_path / "studies").mkdir()
    arguments = ["select", "--studies", str(tmp_path / "studies"), "--source", "?Modality=CT"]
    assert main([*arguments, "--out", str(tmp_path / "p.csv")]) == 2
    assert "is a filter on an archive, but --studies is a folder" in capsys.readouterr().out


def test_a_folder_has_a_worklist_without_links(tmp_path, capsys) -> None:
    from tests.support.pools import write

    studies = write(tmp_path / "studies", 6, 1)
    arguments = ["select", "--studies", str(studies), "--out", str(tmp_path / "p.csv"), "--encoder-steps", "1"]
    assert main([*arguments, "--budget", "2", "--worklist", str(tmp_path / "next.csv")]) == 0
    with (tmp_path / "next.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [["rank", "image", "path", "reason"]] * 2
    assert not (tmp_path / "next.html").exists()


def test_a_patient_is_no_formula_and_no_markup(tmp_path) -> None:
    from types import SimpleNamespace

    from xssr_strategy.archive.client import Series
    from xssr_strategy.commands.worklist_files import write_worklist
    from xssr_strategy.pool.ranking import RankedImage, Ranking
    from xssr_strategy.pool.studies import Studies

    evil = '=cmd|"/c calc"!A1<script>alert(1)</script>'
    listed = {"1.2": Series("1.2", "1.1", "CT", info={"PatientID": evil})}
    studies = Studies("http://archive", {}, {}, SimpleNamespace(series=lambda: listed))
    picks = tuple(RankedImage(uid, rank, 0.5, 0.5, 0.5, 0.5) for rank, uid in enumerate(["1.2", "gone"], start=1))
    ranking = Ranking("k", "e", picks, frozenset(), 2, 2, False, 0.0, (), (0.1, 0.1), None, "advice <b>")
    table, page = write_worklist(tmp_path / "next.csv", ranking, studies)
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["patient"] for row in rows] == [f"'{evil}"]
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "<b>" not in text
