"""MONAI Label's datastore on a real Orthanc, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from fastapi import HTTPException

from tests.support.dicom_series import WrittenSeries, write_phantom
from tests.support.orthanc import Orthanc
from xssr_strategy.archive.pool import ArchivePool
from xssr_strategy.cli import main
from xssr_strategy.datastores.archive import ArchiveDatastore
from xssr_strategy.labels.reading import names_of

pytestmark = pytest.mark.e2e

SHAPE = (16, 16, 8)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def series(archive: Orthanc, tmp_path, monkeypatch) -> WrittenSeries:
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for study in archive.ask("/studies"):
        archive.ask(f"/studies/{study}", method="DELETE")
    made = write_phantom(tmp_path / "made", 5, labels=2, shape=SHAPE)
    archive.load(made.files)
    return made


def opened(archive: Orthanc, labels: tuple[str, ...] = ("liver", "tumour")) -> ArchiveDatastore:
    return ArchiveDatastore(ArchivePool(archive.url, {"Modality": "CT"}), labels)


def submit(datastore: ArchiveDatastore, uid: str, label: sitk.Image, folder: Path, tag: str = "final") -> None:
    sitk.WriteImage(label, str(folder / "label.nii.gz"))
    datastore.save_label(uid, str(folder / "label.nii.gz"), tag, {})


def voxels(path: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


def test_a_series_that_grew_is_converted_anew_and_its_label_put_in_its_place(archive, series, tmp_path) -> None:
    for instance in archive.find("Instance", SeriesInstanceUID=series.uid, InstanceNumber="8"):
        archive.ask(f"/instances/{instance}", method="DELETE")
    datastore = opened(archive)
    submit(datastore, series.uid, series.label[:, :, :7], tmp_path)
    assert voxels(datastore.get_image_uri(series.uid)).shape == (7, 16, 16)
    archive.load(series.files)
    elsewhere = ArchivePool(archive.url, {"Modality": "CT"})
    elsewhere.renew()
    elsewhere.fetch()  # as the scoring process does
    datastore = opened(archive)
    (pair,) = datastore.datalist()
    assert voxels(pair["image"]).shape == (8, 16, 16)
    expected = sitk.GetArrayFromImage(series.label)
    expected[7] = 0
    np.testing.assert_array_equal(voxels(pair["label"]), expected)


def test_a_label_whose_copy_here_is_lost_is_fetched_again(archive, series, tmp_path) -> None:
    datastore = opened(archive)
    submit(datastore, series.uid, series.label, tmp_path)
    kept = Path(datastore.get_label_uri(series.uid, "final"))
    kept.unlink()
    (pair,) = opened(archive).datalist()
    np.testing.assert_array_equal(voxels(pair["label"]), sitk.GetArrayFromImage(series.label))


def test_a_kept_copy_of_other_labels_is_fetched_again(archive, series, tmp_path) -> None:
    drawn = sitk.GetArrayFromImage(series.label)
    submit(opened(archive), series.uid, series.label, tmp_path)
    for labels, numbers in ((("tumour", "liver"), [0, 2, 1]), (("vessel", "tumour", "liver"), [0, 3, 2])):
        (pair,) = opened(archive, labels).datalist()
        np.testing.assert_array_equal(voxels(pair["label"]), np.array(numbers)[drawn])
        assert names_of(pair) == tuple(labels)
    other = opened(archive, ("liver", "vessel"))
    assert other.datalist() == []
    ((_, reason),) = other.unmatched_labels()
    assert "its segment 2 'tumour' is none of the labels liver,vessel; change --conf labels" in reason


def test_what_an_earlier_reading_converted_is_converted_again(archive, series, tmp_path) -> None:
    """Files without the version in their header, as earlier versions wrote them, here in the wrong place."""
    datastore = opened(archive)
    submit(datastore, series.uid, series.label, tmp_path)
    files = [datastore.get_image_uri(series.uid), datastore.get_label_uri(series.uid, "final")]
    before = [voxels(file) for file in files]
    for file in files:
        wrong = sitk.Image(SHAPE, sitk.sitkUInt8)
        sitk.WriteImage(wrong, file)
    (pair,) = opened(archive).datalist()
    for file, expected in zip((pair["image"], pair["label"]), before, strict=True):
        np.testing.assert_array_equal(voxels(file), expected)
    made = [Path(file).stat().st_mtime_ns for file in files]
    opened(archive).datalist()
    assert [Path(file).stat().st_mtime_ns for file in files] == made


def test_what_is_ignored_stays_so_in_the_archive(archive, series, tmp_path) -> None:
    sitk.WriteImage(series.label, str(tmp_path / "label.nii.gz"))
    named = {"label_info": [{"name": "ignore"}, {"name": "tumour"}]}
    opened(archive).save_label(series.uid, str(tmp_path / "label.nii.gz"), "final", named)
    for labels, numbers in ((("liver", "tumour"), [0, 3, 2]), (("tumour",), [0, 2, 1])):
        (pair,) = opened(archive, labels).datalist()
        np.testing.assert_array_equal(voxels(pair["label"]), np.array(numbers)[sitk.GetArrayFromImage(series.label)])
        assert names_of(pair) == (*labels, "ignore")


def test_an_empty_label_counts_is_trained_on_and_can_be_taken_back(
    archive, series, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    datastore = opened(archive)
    submit(datastore, series.uid, series.label * 0, tmp_path)
    assert datastore.get_labeled_images() == [series.uid]
    assert archive.find("Series", Modality="SEG") == []
    (pair,) = datastore.datalist()
    assert not voxels(pair["label"]).any()
    select = ["select", "--studies", archive.url, "--out", str(tmp_path / "p.csv"), "--encoder-steps", "1"]
    assert main(select) == 2
    assert "all 1 images are labelled" in capsys.readouterr().out
    datastore.remove_label(series.uid, "final")
    assert datastore.get_labeled_images() == []
    assert main(select) == 0
    submit(datastore, series.uid, series.label * 0, tmp_path)
    pool = ["pool", "--studies", archive.url]
    assert main(pool) == 0
    assert "an empty label, kept on the server" in capsys.readouterr().out
    assert main([*pool, "--back", series.uid]) == 0
    assert "1 of 1 images are waiting." in capsys.readouterr().out


def test_after_a_deleted_segmentation_an_empty_label_is_empty(archive, series, tmp_path) -> None:
    datastore = opened(archive)
    submit(datastore, series.uid, series.label * 0, tmp_path)
    submit(datastore, series.uid, series.label, tmp_path)
    archive.delete("Series", Modality="SEG")
    pool = datastore._pool
    pool.labels._clock = lambda: 1e12
    pool.renew()
    (pair,) = datastore.datalist()
    assert not voxels(pair["label"]).any()


def test_a_label_that_is_not_final_stays_here(archive, series, tmp_path) -> None:
    datastore = opened(archive)
    submit(datastore, series.uid, series.label, tmp_path, tag="original")
    assert archive.find("Series", Modality="SEG") == []
    assert datastore.get_labeled_images() == []
    kept = datastore.get_label_uri(series.uid, "original")
    np.testing.assert_array_equal(voxels(kept), sitk.GetArrayFromImage(series.label))


def test_a_label_is_kept_though_another_process_has_written_the_index_meanwhile(archive, series, tmp_path) -> None:
    other = write_phantom(tmp_path / "made", 6, labels=2, shape=SHAPE)
    archive.load(other.files)
    server, training = opened(archive), opened(archive)
    submit(training, other.uid, other.label, tmp_path)
    submit(server, series.uid, series.label, tmp_path)
    assert server.get_labeled_images() == sorted([series.uid, other.uid])
    for one in (series, other):
        kept = server.get_label_uri(one.uid, "final")
        np.testing.assert_array_equal(voxels(kept), sitk.GetArrayFromImage(one.label))


def test_a_label_that_another_process_has_kept_is_there(archive, series, tmp_path) -> None:
    server, batch = opened(archive), opened(archive)
    submit(batch, series.uid, series.label, tmp_path, tag="original")
    kept = server.get_label_uri(series.uid, "original")
    np.testing.assert_array_equal(voxels(kept), sitk.GetArrayFromImage(series.label))
    server.remove_label(series.uid, "original")
    assert not Path(kept).exists()


def test_what_is_noted_of_a_series_does_not_change_what_it_is(archive, series) -> None:
    datastore = opened(archive)
    before = datastore.get_image_info(series.uid)
    lies = {"id": "1.2.3", "path": "/etc/passwd", "StudyInstanceUID": "9.9", "strategy": {"xssr": 1}}
    datastore.update_image_info(series.uid, lies)
    assert datastore.get_image_info(series.uid) == {**before, "strategy": {"xssr": 1}}
    with pytest.raises(HTTPException, match="no such series"):
        datastore.update_image_info("1.2.3", {})


def test_the_archive_is_not_changed_through_the_server(archive, series, tmp_path) -> None:
    datastore = opened(archive)
    submit(datastore, series.uid, series.label, tmp_path)
    for change in (
        lambda: datastore.remove_image(series.uid),
        lambda: datastore.remove_label(series.uid, "final"),
        lambda: datastore.add_image("new", series.files[0].as_posix(), {}),
    ):
        with pytest.raises(HTTPException, match="in the archive"):
            change()
    assert datastore.get_labeled_images() == [series.uid]
