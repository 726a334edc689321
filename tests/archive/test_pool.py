"""The pool of a real Orthanc, without a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from requests import exceptions
from urllib3.exceptions import ReadTimeoutError

from tests.support.dicom_series import WrittenSeries, write_phantom
from tests.support.odd_dicom import dataset, saved
from tests.support.orthanc import Orthanc
from xssr_strategy.archive.client import Archive, ArchiveDown, Series
from xssr_strategy.archive.pool import MAX_AGE, ArchivePool, SeriesQuery
from xssr_strategy.archive.query import Query
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.pool.patients import learn_patients
from xssr_strategy.settings import parse_settings

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def series(archive: Orthanc, tmp_path) -> list[WrittenSeries]:
    """Four series in an otherwise empty archive, loaded in the reverse of the order of their uids."""
    for study in archive.ask("/studies"):
        archive.ask(f"/studies/{study}", method="DELETE")
    made = [write_phantom(tmp_path / "made", number, shape=(16, 16, 5)) for number in range(4)]
    for one in sorted(made, key=lambda one: one.uid, reverse=True):
        archive.load(one.files)
    return made


def test_series_are_sorted_whatever_the_order_of_the_archive(archive, series) -> None:
    pool = ArchivePool(archive.url, {"Modality": "CT"})
    assert list(pool.series()) == sorted(one.uid for one in series)
    first = pool.series()[series[0].uid]
    assert (first.study, first.modality, first.instances) == (series[0].study, "CT", 5)
    assert first.info["PatientID"] == series[0].patient
    assert pool.preset_name() == "ct"
    assert pool.labelled() == set()


def test_labels_and_reports_of_the_archive_are_no_images(archive, series, tmp_path) -> None:
    patient = series[0].patient
    for modality in ("SEG", "SR", "RTSTRUCT", "MR"):
        uid = f"1.2.3.{len(modality)}"
        one = dataset(Modality=modality, PatientID=patient, SeriesInstanceUID=uid, SOPInstanceUID=f"{uid}.1")
        (tmp_path / "one.dcm").write_bytes(saved(one))
        archive.load([tmp_path / "one.dcm"])
    found = ArchivePool(archive.url, {"PatientID": patient}).series().values()
    assert sorted(one.modality for one in found) == ["CT", "MR"]


def test_each_series_is_fetched_once_and_a_fetch_goes_on_where_it_was(archive, series, monkeypatch) -> None:
    pool = ArchivePool(archive.url, {"Modality": "CT"})
    fetched: list[str] = []
    download = Archive.download

    def counted(self: Archive, one: Series, folder: Path) -> int:
        if len(fetched) == 2:
            raise ArchiveDown("gone")
        fetched.append(one.uid)
        return download(self, one, folder)

    monkeypatch.setattr(Archive, "download", counted)
    with pytest.raises(ArchiveDown):
        pool.fetch()
    there = {path.name for path in pool.cache.root.iterdir() if path.is_dir()}
    assert there == set(fetched)  # whole or not at all, and nothing half done stays
    monkeypatch.setattr(Archive, "download", download)
    seen: list[tuple[int, int]] = []
    assert pool.fetch(lambda done, total: seen.append((done, total))) == {}
    assert seen[0] == (2, 4)
    assert seen[-1] == (4, 4)
    assert all(len(list(pool.cache.folder(one.uid).glob("*.dcm"))) == 5 for one in series)
    seen.clear()
    pool.fetch(lambda done, total: seen.append((done, total)))
    assert seen == []


def test_a_series_that_grew_in_the_archive_is_fetched_again(archive, series, tmp_path) -> None:
    grown = write_phantom(tmp_path / "grown", 9, shape=(16, 16, 5))
    archive.load(grown.files[:3])
    pool = ArchivePool(archive.url, {"Modality": "CT"})
    pool.fetch()
    assert len(list(pool.cache.folder(grown.uid).glob("*.dcm"))) == 3
    archive.load(grown.files[3:])
    pool.renew()
    pool.fetch()
    assert len(list(pool.cache.folder(grown.uid).glob("*.dcm"))) == 5


def test_one_series_that_cannot_be_had_does_not_stop_the_others(archive, series, monkeypatch) -> None:
    pool = ArchivePool(archive.url, {"Modality": "CT"})
    bad, download = series[1].uid, Archive.download

    def partly(self: Archive, one: Series, folder: Path) -> int:
        count = download(self, one, folder)
        return count - 1 if one.uid == bad else count

    monkeypatch.setattr(Archive, "download", partly)
    failed = pool.fetch()
    assert list(failed) == [bad]
    assert f"sent 4 of 5 instances of series {bad}" in failed[bad]


def test_what_was_listed_holds_while_the_archive_is_down(archive, series, monkeypatch) -> None:
    listed = list(ArchivePool(archive.url, {"Modality": "CT"}).series())
    archive.stop()
    try:
        pool = ArchivePool(archive.url, {"Modality": "CT"})  # listed a moment ago
        pool._of.listing._listed -= 2 * MAX_AGE
        assert list(pool.series()) == listed  # nobody waits for the renewal
        search, looked = pool._quick.search, []

        def noting(filters: dict, study: str | None = None) -> list[Series]:
            looked.append(study)
            return search(filters, study)

        monkeypatch.setattr(pool._quick, "search", noting)
        assert pool.still_waits(listed[0])
        assert pool.still_waits(listed[1])
        assert len(looked) == 1  # nobody waits for a second refusal
        with pytest.raises(ArchiveDown, match=r"does not answer .*start the archive or correct its address"):
            pool.renew()
        with pytest.raises(ArchiveDown):
            ArchivePool(archive.url, {"Modality": "MR"})  # never listed
    finally:
        archive.start()


def test_a_look_ahead_saves_the_question_for_a_second(archive, series, monkeypatch) -> None:
    pool = ArchivePool(archive.url, {"Modality": "CT"})
    asked: list[str] = []
    search = Archive.search

    def counted(self: Archive, filters: dict, study: str | None = None) -> list[Series]:
        asked.append(study or "")
        return search(self, filters, study)

    monkeypatch.setattr(Archive, "search", counted)
    first, second = series[0], series[1]
    pool.look_ahead(first.uid)
    assert pool.still_waits(first.uid)
    assert asked == [first.study]
    assert pool.still_waits(first.uid)  # a look serves once
    assert asked == [first.study] * 2
    pool.look_ahead(second.uid)
    monkeypatch.setattr("xssr_strategy.archive.pool._LOOK_LASTS", 0.0)
    archive.delete("Study", StudyInstanceUID=second.study)
    assert not pool.still_waits(second.uid)  # what was seen is too old
    assert not pool.still_waits("1.2.3")


def test_a_source_in_the_same_archive_is_not_in_the_pool(archive, series, tmp_path) -> None:
    old = write_phantom(tmp_path / "old", 1, station="OLD", shape=(16, 16, 5))
    archive.load(old.files)
    source = SeriesQuery(Query.parse("?StationName=OLD&Modality=CT").at(archive.url), "--conf source")
    assert list(source.files()) == [old.uid]
    pool = ArchivePool(archive.url, {"Modality": "CT"}, source)
    assert old.uid not in pool.series()
    assert len(pool.series()) == len(series)


def test_an_unknown_keyword_is_refused_because_an_archive_would_pass_over_it(archive) -> None:
    with pytest.raises(UserError, match="DICOM knows no Modalty"):
        ArchivePool(archive.url, {"Modalty": "CT"})


def test_a_portioned_answer_is_read_to_its_end(archive, series, monkeypatch) -> None:
    asked: list[int | None] = []
    client = Archive(archive.url)
    search = client.client.search_for_series

    def two_at_a_time(study=None, offset=None, **more):
        asked.append(offset)
        return search(study, offset=offset, limit=2, **more)

    monkeypatch.setattr(client.client, "search_for_series", two_at_a_time)
    assert len(client.search({"Modality": "CT"})) == 4
    assert asked == [None, 2, 4]


def test_abandoned_downloads_are_removed(archive, series) -> None:
    import os

    pool = ArchivePool(archive.url, {"Modality": "CT"})
    left, running = pool.cache.root / ".part-left", pool.cache.root / ".part-running"
    for folder in (left, running):
        folder.mkdir(parents=True)
    os.utime(left, (1, 1))
    pool.fetch()
    assert not left.exists()
    assert running.exists()
    shutil.rmtree(running)


def test_a_series_whose_slices_have_a_gap_is_set_aside(archive, series, tmp_path) -> None:
    gap = write_phantom(tmp_path / "gap", 11, shape=(16, 16, 8))
    archive.load([*gap.files[:3], *gap.files[5:]])
    failed = ArchivePool(archive.url, {"Modality": "CT"}).fetch()
    assert list(failed) == [gap.uid]
    assert "slices are missing or not evenly spaced" in failed[gap.uid]


@pytest.mark.parametrize(
    "fault",
    [
        exceptions.ChunkedEncodingError("cut"),
        exceptions.ReadTimeout("slow"),
        exceptions.ConnectionError(ReadTimeoutError(None, "/", "slow")),
    ],
    ids=["cut off", "slow to begin", "slow in the middle"],
)
def test_one_series_that_breaks_off_does_not_stop_the_others(archive, series, monkeypatch, fault) -> None:
    pool = ArchivePool(archive.url, {"Modality": "CT"})
    retrieve, bad = pool.archive.client.retrieve_series, series[2].uid

    def breaks(study: str, uid: str, **more: object) -> list:
        if uid == bad:
            raise fault
        return retrieve(study, uid, **more)

    monkeypatch.setattr(pool.archive.client, "retrieve_series", breaks)
    failed = pool.fetch()
    assert list(failed) == [bad]
    assert "broke off at fetching series" in failed[bad]
    assert "Error" not in failed[bad]


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_done(archive, series, monkeypatch) -> None:
    pool = ArchivePool(archive.url, {"Modality": "CT"})

    def full(self: Archive, one: Series, folder: Path) -> int:
        (folder / "00000.dcm").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Archive, "download", full)
    with pytest.raises(ArchiveDown, match=r"cannot be written \(No space left on device\): make room"):
        pool.fetch()
    assert list(pool.cache.root.iterdir()) == []


def test_the_archive_says_of_whom_the_series_are(archive, series, tmp_path, monkeypatch) -> None:
    """Without a file; where its answers do not say, the fetched files do."""
    pool = ArchivePool(archive.url, {"Modality": "CT"})
    images = {uid: pool.cache.folder(uid) for uid in pool.series()}
    store, settings = EmbeddingStore(tmp_path / "e.sqlite"), parse_settings({"per_patient": "true"})
    named = {one.uid: one.patient for one in series}
    assert learn_patients(images, settings, store, pool) == named
    pool.fetch()
    silent = {uid: replace(one, info={}) for uid, one in pool.series().items()}
    monkeypatch.setattr(pool, "series", lambda: silent)
    assert learn_patients(images, settings, EmbeddingStore(tmp_path / "f.sqlite"), pool) == named
