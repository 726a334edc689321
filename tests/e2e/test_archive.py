"""The app on a real DICOM archive: phantoms as CT series beside the real series, a real Orthanc, a real server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlencode

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.support.archive_site import Site, completed, downloaded, end_leases, put_label, segmentations_of
from tests.support.data import DICOM, need
from tests.support.dicom_series import write_phantom
from tests.support.harness import saved
from tests.support.orthanc import Orthanc
from tests.support.warm import start_archive_server
from xssr_strategy.archive.dicom_seg import read_label_file, read_segmentation, write_segmentation
from xssr_strategy.archive.volumes import series_image
from xssr_strategy.demo.annotator import RestAnnotator

pytestmark = pytest.mark.e2e

POOL, SOURCE = 8, 4
LABELS = "liver,tumour"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    need(DICOM)
    folder = tmp_path_factory.mktemp("archive")
    pool = [write_phantom(folder / "new", number, labels=2) for number in range(POOL)]
    source = [write_phantom(folder / "old", number, labels=2, station="OLD") for number in range(SOURCE)]
    with Orthanc(folder / "orthanc") as archive:
        # In the reverse of the order of their uids: no answer may depend on the archive's order.
        for series in sorted([*pool, *source], key=lambda one: one.uid, reverse=True):
            archive.load(series.files)
        archive.load(sorted(DICOM.glob("ct_3slice_seg/*/*.dcm")))  # a labelled CT series
        archive.load(sorted(DICOM.glob("mr_hcrop_1/*.dcm")))  # not of the filter
        conf = {"source": "?Modality=CT&StationName=OLD", "labels": LABELS, "encoder_steps": 6, "budget": 4}
        with start_archive_server(archive, folder, conf) as server:
            annotator = RestAnnotator(server.url, "reader-1")
            annotator.wait_until_ready(600)
            yield Site(archive, server, annotator, {one.uid: one for one in pool}, folder)


def test_the_pool_is_what_the_filter_names_without_source_and_labelled_series(site: Site) -> None:
    info = site.annotator.client.info()
    state = info["scoring"]["xssr"]
    assert (state["embedded"], state["pool"], state["failed"]) == (POOL + 1, POOL + 1, 0)
    assert info["datastore"]["total"] == POOL + 1
    assert info["datastore"]["completed"] == 1  # the real series has segmentations from elsewhere
    cache = next((site.folder / "cache").iterdir())
    fetched = {path.name for path in cache.iterdir() if path.is_dir()}
    assert fetched >= site.pool.keys()
    assert len(list(cache.glob(".part-*"))) == 0


def test_next_sample_tells_viewers_what_to_open(site: Site) -> None:
    answer = site.annotator.next_sample()
    series = site.pool[answer["id"]]
    assert answer["rank"] == 2  # one series was labelled already
    assert (answer["PatientID"], answer["StudyInstanceUID"]) == (series.patient, series.study)
    assert answer["SeriesInstanceUID"] == series.uid
    assert answer["reason"].startswith(f"Pick 2 of {POOL + 1}: ")
    assert answer["coverage"]["curve"]
    assert answer["advice"]
    shown_by_ohif = ("Modality", "StudyDate", "StudyTime", "PatientID", "RetrieveURL")
    assert all(answer[name] for name in shown_by_ohif)


def test_a_viewer_that_downloads_gets_the_voxels_of_the_archive(site: Site, tmp_path) -> None:
    answer = site.annotator.next_sample()
    series = site.pool[answer["id"]]
    assert answer["name"] == f"{series.uid}.nii.gz"  # 3D Slicer goes by its ending
    with urllib.request.urlopen(f"{site.server.url}/datastore/image?image={series.uid}", timeout=300) as reply:
        (tmp_path / answer["name"]).write_bytes(reply.read())
    got, real = sitk.ReadImage(str(tmp_path / answer["name"])), downloaded(site, series, tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(got), sitk.GetArrayFromImage(real))
    np.testing.assert_allclose(got.GetOrigin(), real.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(got.GetDirection(), real.GetDirection(), atol=1e-4)


def test_a_label_goes_to_the_archive_and_comes_back_voxel_by_voxel(site: Site, tmp_path) -> None:
    answer = site.annotator.next_sample()
    series = site.pool[answer["id"]]
    drawn = sitk.Cast(series.label == 2, sitk.sitkUInt8)  # the viewer's segment 1, and the object's, but label 2
    status, text = put_label(site.server, series.uid, saved(drawn, tmp_path), ("tumour",))
    assert status == 200, text
    only_tumour = drawn * 2
    (found,) = segmentations_of(site, series.uid)
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["tumour"]
    found.save_as(tmp_path / "seg.dcm")
    back = read_segmentation([tmp_path / "seg.dcm"], downloaded(site, series, tmp_path), LABELS.split(","))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(only_tumour))
    # In patient coordinates: every labelled voxel of the phantom lies where the object says.
    frames = found.pixel_array.reshape(-1, found.Rows, found.Columns)
    places = set()
    for frame, groups in zip(frames, found.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        shared = found.SharedFunctionalGroupsSequence[0]
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
        down, right = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
        for row, column in np.argwhere(frame):
            place = position + column * right * orientation[:3] + row * down * orientation[3:]
            places.add(tuple(np.round(place, 1)))
    values = sitk.GetArrayFromImage(only_tumour)
    expected = [series.label.TransformIndexToPhysicalPoint((int(x), int(y), int(z))) for z, y, x in np.argwhere(values)]
    assert len(places) == len(expected)
    found_places = np.array(sorted(places))
    distances = np.linalg.norm(found_places[None] - np.array(expected)[:, None], axis=2).min(axis=1)
    assert distances.max() < 0.2  # mm, of voxels of 1.5 mm


def test_a_labelled_series_counts_at_once_and_is_never_handed_out_again(site: Site, tmp_path) -> None:
    before = site.annotator.client.info()["datastore"]["completed"]
    answer = site.annotator.next_sample()
    site.annotator.submit(answer["id"], saved(site.pool[answer["id"]].label, tmp_path))
    assert site.annotator.client.info()["datastore"]["completed"] == before + 1
    seen = {RestAnnotator(site.server.url, f"other-{n}").next_sample().get("id") for n in range(POOL)}
    assert answer["id"] not in seen


def test_a_segmentation_from_elsewhere_is_noticed_before_the_series_is_handed_out(site: Site, tmp_path) -> None:
    end_leases(site)
    asking = RestAnnotator(site.server.url, "late")
    first = asking.next_sample()["id"]
    end_leases(site)
    series = site.pool[first]
    folder = series.files[0].parent
    own = tmp_path / "own"
    own.mkdir()
    for file in folder.glob(f"{series.patient}-*.dcm"):
        (own / file.name).write_bytes(file.read_bytes())
    label, _ = read_label_file(saved(series.label, tmp_path), series_image(own), LABELS.split(","))
    write_segmentation(label, own, LABELS.split(","), tmp_path / "foreign.dcm")
    site.archive.load([tmp_path / "foreign.dcm"])
    assert asking.next_sample()["id"] != first


def test_training_on_labels_of_the_archive_and_inference_in_every_form(site: Site, tmp_path) -> None:
    end_leases(site)
    while (answer := site.annotator.next_sample()).get("id") and len(completed(site)) < 5:
        site.annotator.submit(answer["id"], saved(site.pool[answer["id"]].label, tmp_path))
    site.annotator.train(600, max_epochs=8, steps_per_epoch=16)
    client = site.annotator.client
    assert "segmentation" in client.info()["models"]
    end_leases(site)
    uid = next(iter(site.pool))
    series = site.pool[uid]
    mask, _ = client.infer("segmentation", uid, {})
    found = sitk.ReadImage(mask)
    assert found.GetSize() == series.label.GetSize()
    np.testing.assert_allclose(found.GetOrigin(), series.label.GetOrigin(), atol=1e-3)
    truth = sitk.GetArrayFromImage(series.label) > 0
    drawn = sitk.GetArrayFromImage(found) > 0
    assert 2 * (truth & drawn).sum() / (truth.sum() + drawn.sum()) > 0.5
    request = urllib.request.Request(
        f"{site.server.url}/infer/segmentation?image={uid}&output=dicom_seg",
        urlencode({"params": json.dumps({"label_info": [{"name": "liver"}, {"name": "tumour"}]})}).encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    with urllib.request.urlopen(request, timeout=300) as reply:
        (tmp_path / "mask.dcm").write_bytes(reply.read())
    assert pydicom.dcmread(tmp_path / "mask.dcm").Modality == "SEG"


def test_bad_labels_are_refused_with_a_sentence(site: Site, tmp_path) -> None:
    uid, series = next(iter(site.pool.items()))
    good = saved(series.label, tmp_path)
    before = len(site.archive.find("Series", Modality="SEG"))
    status, text = put_label(site.server, "1.2.3", good)
    assert (status, "no such series" in text) == (404, True)
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    status, text = put_label(site.server, uid, cut)
    assert (status, "damaged or cut off; submit it again" in text) == (422, True), text
    status, text = put_label(site.server, uid, saved(series.label * 3, tmp_path, "three.nii.gz"))
    assert (status, "holds the value 3" in text) == (422, True), text
    status, text = put_label(site.server, uid, good, ("liver", "Segment_2"))
    assert (status, "'Segment_2' is none of the labels liver,tumour" in text) == (422, True), text
    far = sitk.Image(series.label)
    far.SetOrigin([1000.0, 1000.0, 1000.0])
    status, text = put_label(site.server, uid, saved(far, tmp_path, "far.nii.gz"))
    assert (status, "elsewhere in space" in text) == (422, True), text
    short = tmp_path / "voxels.bin"
    short.write_bytes(b"\x00\x01")
    status, text = put_label(site.server, uid, short)
    assert (status, "The label has 2 voxels" in text) == (422, True), text
    assert len(site.archive.find("Series", Modality="SEG")) == before


def test_an_archive_that_is_down_loses_nothing(site: Site, tmp_path) -> None:
    end_leases(site)
    waiting = [uid for uid in site.pool if uid not in completed(site)]
    assert waiting
    site.archive.stop()
    try:
        answer = site.annotator.next_sample()
        assert answer["id"] in waiting  # what is here is handed out
        status, text = put_label(site.server, answer["id"], saved(site.pool[answer["id"]].label, tmp_path))
        assert (status, "submit it again later" in text, "start the archive" in text) == (503, True, True), text
    finally:
        site.archive.start()
    status, text = put_label(site.server, answer["id"], saved(site.pool[answer["id"]].label, tmp_path))
    assert status == 200, text
    assert answer["id"] in completed(site)


def test_a_deleted_study_is_not_handed_out_and_everything_labelled_is_no_error(site: Site, tmp_path) -> None:
    end_leases(site)
    waiting = [uid for uid in site.pool if uid not in completed(site)]
    gone = site.annotator.next_sample()["id"]
    end_leases(site)
    site.archive.delete("Study", StudyInstanceUID=site.pool[gone].study)
    given = []
    while (answer := site.annotator.next_sample()).get("id"):
        given.append(answer["id"])
        site.annotator.submit(answer["id"], saved(site.pool[answer["id"]].label, tmp_path))
    assert sorted(given) == sorted(set(waiting) - {gone})
    assert answer == {}


def test_the_archive_is_not_changed_through_the_server(site: Site) -> None:
    uid = next(iter(site.pool))
    for path in (f"/datastore/image?id={uid}", f"/datastore/label?id={uid}&tag=final"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{site.server.url}{path}", method="DELETE"), timeout=300)
        assert refused.value.code == 422
        assert "in the archive" in refused.value.read().decode()


def test_no_traceback_in_the_log(site: Site) -> None:
    log = (site.folder / "server.log").read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
