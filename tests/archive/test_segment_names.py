"""Segments of DICOM SEG objects and of submitted segmentations are labels by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.support.dicom_series import WrittenSeries, write_phantom
from xssr_strategy.archive.dicom_seg import read_label_file, read_segmentation, write_segmentation
from xssr_strategy.archive.volumes import series_image
from xssr_strategy.errors import UserError

NAMES = ("liver", "tumour")


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> WrittenSeries:
    return write_phantom(tmp_path_factory.mktemp("series"), 3, labels=2)


@pytest.fixture(scope="module")
def segmentation(series, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("seg") / "seg.dcm"
    reference = series_image(series.files[0].parent)
    label = sitk.GetImageFromArray(sitk.GetArrayFromImage(series.label))
    label.CopyInformation(reference)
    write_segmentation(label, series.files[0].parent, NAMES, file)
    return file


def renamed(segmentation: Path, file: Path, *names: str) -> Path:
    data = pydicom.dcmread(segmentation)
    for segment, name in zip(data.SegmentSequence, names, strict=True):
        segment.SegmentLabel = name
    data.save_as(file)
    return file


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def read(file: Path, series: WrittenSeries, names: tuple[str, ...]) -> np.ndarray:
    return voxels(read_segmentation([file], series_image(series.files[0].parent), names))


def test_numbers_count_where_names_say_nothing(series, segmentation, tmp_path) -> None:
    file = renamed(segmentation, tmp_path / "seg.dcm", "Segment 1", "Segment 2")
    np.testing.assert_array_equal(read(file, series, NAMES), voxels(series.label))


@pytest.mark.parametrize("called", [("spleen", "kidney"), ("tumour", "Segment 2"), ("spleen", "tumour")])
def test_a_segment_of_another_name_is_no_label_by_its_number(series, segmentation, tmp_path, called) -> None:
    with pytest.raises(UserError, match=r"its segment [12] '(spleen|segment 2)' is none of the labels liver,tumour"):
        read(renamed(segmentation, tmp_path / "seg.dcm", *called), series, NAMES)


def test_one_label_is_every_segment_unless_one_has_its_name(series, segmentation) -> None:
    np.testing.assert_array_equal(read(segmentation, series, ("organ",)), voxels(series.label) > 0)
    with pytest.raises(UserError, match="its segment 1 'liver' is none of the labels tumour"):
        read(segmentation, series, ("tumour",))


def test_what_is_ignored_is_written_and_read_by_name(series, segmentation, tmp_path) -> None:
    reference = series_image(series.files[0].parent)
    numbers = voxels(series.label)
    submitted = sitk.GetImageFromArray(np.where(numbers == 2, 1, np.where(numbers == 1, 2, 0)).astype(np.uint8))
    submitted.CopyInformation(reference)
    sitk.WriteImage(submitted, str(tmp_path / "label.nii.gz"))
    label, _ = read_label_file(tmp_path / "label.nii.gz", reference, ("tumour",), {1: "tumour", 2: "ignore"})
    np.testing.assert_array_equal(voxels(label), voxels(submitted))
    write_segmentation(label, series.files[0].parent, ("tumour",), tmp_path / "seg.dcm")
    named = {one.SegmentLabel for one in pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence}
    assert named == {"tumour", "ignore"}
    np.testing.assert_array_equal(read(tmp_path / "seg.dcm", series, ("tumour",)), voxels(submitted))
    np.testing.assert_array_equal(read(tmp_path / "seg.dcm", series, NAMES), np.array([0, 2, 3])[voxels(submitted)])


@pytest.mark.parametrize("layered", [False, True])
def test_a_segmentation_of_slicer_is_read_by_its_header(series, tmp_path, layered) -> None:
    reference, numbers = series_image(series.files[0].parent), voxels(series.label)
    parts = [(numbers == 2).astype(np.uint8), (numbers == 1).astype(np.uint8)]  # tumour, liver
    image = sitk.GetImageFromArray(np.stack(parts, axis=-1) if layered else parts[0] + 2 * parts[1], isVector=layered)
    image.CopyInformation(reference)
    for place, name in enumerate(("tumour", "liver")):
        image.SetMetaData(f"Segment{place}_Name", name)
        image.SetMetaData(f"Segment{place}_LabelValue", "1" if layered else str(place + 1))
        image.SetMetaData(f"Segment{place}_Layer", str(place if layered else 0))
    sitk.WriteImage(image, str(tmp_path / "label.seg.nrrd"))
    label, _ = read_label_file(tmp_path / "label.seg.nrrd", reference, NAMES, {1: "wrong", 2: "names"})
    np.testing.assert_array_equal(voxels(label), numbers)
    with pytest.raises(UserError, match="The segment 'tumour' is none of the labels liver,vessel"):
        read_label_file(tmp_path / "label.seg.nrrd", reference, ("liver", "vessel"))


def test_what_a_header_calls_ignore_is_no_label(series, tmp_path) -> None:
    reference, numbers = series_image(series.files[0].parent), voxels(series.label)
    image = sitk.GetImageFromArray(numbers)
    image.CopyInformation(reference)
    for place, name in enumerate(("tumour", "ignore")):
        image.SetMetaData(f"Segment{place}_Name", name)
        image.SetMetaData(f"Segment{place}_LabelValue", str(place + 1))
        image.SetMetaData(f"Segment{place}_Layer", "0")
    sitk.WriteImage(image, str(tmp_path / "label.seg.nrrd"))
    label, odd = read_label_file(tmp_path / "label.seg.nrrd", reference, ("tumour",))
    np.testing.assert_array_equal(voxels(label), numbers)
    assert odd == ""
    label, _ = read_label_file(tmp_path / "label.seg.nrrd", reference, ("tumour", "liver"))
    np.testing.assert_array_equal(voxels(label), np.array([0, 1, 3])[numbers])
