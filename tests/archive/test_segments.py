"""Segments of DICOM SEG objects that highdicom, dcmqi and others wrote, read alike with pydicom 2 and 3."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless

from tests.support.data import DICOM, need
from tests.support.dicom_series import WrittenSeries, write_phantom
from tests.support.segmentations import KINDS, can_write, in_another_order, written
from xssr_strategy.archive.dicom_seg import read_segmentation, write_segmentation
from xssr_strategy.archive.segments import segment_volumes, with_frame_groups
from xssr_strategy.archive.volumes import series_image
from xssr_strategy.errors import UserError

NAMES = ("liver", "tumour")
OBJECTS = ("liver", "partial_overlaps", "dcmqi")


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> WrittenSeries:
    return write_phantom(tmp_path_factory.mktemp("series"), 3, labels=2)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    if not can_write(request.param):
        pytest.skip("needs highdicom 0.24")
    return str(request.param)


def numbers_of(series: WrittenSeries) -> np.ndarray:
    return sitk.GetArrayFromImage(series.label)


def read(segmentation: pydicom.Dataset, series: WrittenSeries, folder: Path) -> np.ndarray:
    segmentation.save_as(folder / "seg.dcm")
    reference = series_image(series.files[0].parent)
    return sitk.GetArrayFromImage(read_segmentation([folder / "seg.dcm"], reference, NAMES))


@pytest.mark.parametrize("every", [True, False], ids=["every frame", "those with something"])
def test_an_object_of_highdicom_is_read_voxel_by_voxel(series, tmp_path, kind, every) -> None:
    segmentation = written(series.files, numbers_of(series), NAMES, kind, every)
    np.testing.assert_array_equal(read(segmentation, series, tmp_path), numbers_of(series))


def test_frames_may_be_stored_in_any_order(series, tmp_path, kind) -> None:
    segmentation = written(series.files, numbers_of(series), NAMES, kind)
    in_another_order(segmentation, np.random.default_rng(0).permutation(segmentation.NumberOfFrames).tolist())
    np.testing.assert_array_equal(read(segmentation, series, tmp_path), numbers_of(series))


def test_packed_frames_are_read_alike(series, tmp_path) -> None:
    segmentation = written(series.files, numbers_of(series), NAMES, "FRACTIONAL")
    segmentation.compress(RLELossless)
    np.testing.assert_array_equal(read(segmentation, series, tmp_path), numbers_of(series))


def test_a_number_without_frames_is_an_empty_segment(series, tmp_path) -> None:
    drawn = np.where(numbers_of(series) == 2, 2, 0)
    np.testing.assert_array_equal(read(written(series.files, drawn, NAMES), series, tmp_path), drawn)


def test_what_all_frames_share_counts_for_each(series, tmp_path) -> None:
    drawn = np.zeros_like(numbers_of(series))
    drawn[5, 4:9, 6:11] = 1
    segmentation = written(series.files, drawn, NAMES[:1])
    (groups,) = segmentation.PerFrameFunctionalGroupsSequence
    for keyword in ("SegmentIdentificationSequence", "PlanePositionSequence"):
        if keyword in groups:  # highdicom 0.28 writes one of them so itself
            segmentation.SharedFunctionalGroupsSequence[0][keyword] = groups[keyword]
            del groups[keyword]
    np.testing.assert_array_equal(read(segmentation, series, tmp_path), drawn)


def loaded(name: str, series: WrittenSeries, folder: Path) -> pydicom.Dataset:
    if name != "dcmqi":
        return pydicom.dcmread(need(DICOM) / "ct_3slice_seg/seg" / f"{name}.dcm")
    label = sitk.GetImageFromArray(numbers_of(series))
    label.CopyInformation(series_image(series.files[0].parent))
    write_segmentation(label, series.files[0].parent, NAMES, folder / "seg.dcm")
    return pydicom.dcmread(folder / "seg.dcm")


@pytest.mark.parametrize("name", OBJECTS)
def test_the_volumes_are_those_of_pydicom_seg(series, tmp_path, name) -> None:
    """On which MONAI Label 0.8.5 is built; it needs pydicom 2."""
    pydicom_seg = pytest.importorskip("pydicom_seg")
    dataset = loaded(name, series, tmp_path)
    other = pydicom_seg.SegmentReader().read(dataset)
    found = segment_volumes(with_frame_groups(dataset))
    assert [number for number, _, _ in found] == list(other.segment_infos)
    for number, label, mask in found:
        image = other.segment_image(number)
        assert label == other.segment_infos[number].SegmentLabel
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(image) > 0)
        for of_grid in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
            assert getattr(mask, of_grid)() == getattr(image, of_grid)()


@pytest.mark.skipif(not hasattr(hd.seg.Segmentation, "get_volume"), reason="needs highdicom 0.25")
@pytest.mark.parametrize("name", OBJECTS)
def test_the_volumes_are_those_of_highdicom(series, tmp_path, name) -> None:
    dataset = loaded(name, series, tmp_path)
    other = hd.seg.Segmentation.from_dataset(dataset)
    for number, label, mask in segment_volumes(with_frame_groups(dataset)):
        volume = other.get_volume(segment_numbers=[number], allow_missing_positions=True)
        assert label == other.get_segment_description(number).segment_label
        lowest = np.array([mask.TransformIndexToPhysicalPoint((0, 0, place)) for place in (0, mask.GetSize()[2] - 1)])
        corners = volume.map_indices_to_reference(np.array([[0, 0, 0], [len(volume.array) - 1, 0, 0]]))
        slices = slice(None) if np.allclose(corners, lowest, atol=1e-3) else slice(None, None, -1)
        np.testing.assert_allclose(corners[slices], lowest, atol=1e-3)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), volume.array[slices, ..., 0] > 0)


def broken(segmentation: pydicom.Dataset, how: str) -> pydicom.Dataset:
    if how == "undescribed":
        del segmentation.SegmentSequence[1]
    elif how == "twice":
        segmentation.SegmentSequence[1].SegmentNumber = 1
    elif how == "zero":
        segmentation.SegmentSequence[1].SegmentNumber = 0
    elif how == "another":
        segmentation.SOPClassUID = pydicom.uid.CTImageStorage
    else:
        del segmentation.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    return segmentation


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("undescribed", "it has frames of a segment 2, which it does not describe"),
        ("twice", "two of its segments have one number"),
        ("zero", "a segment has the number 0"),
        ("another", "it is no DICOM SEG"),
        ("nowhere", "PlanePositionSequence"),
    ],
)
def test_an_object_that_contradicts_itself_is_one_sentence(series, tmp_path, how, sentence) -> None:
    segmentation = broken(written(series.files, numbers_of(series), NAMES), how)
    with pytest.raises(UserError, match=rf"^its DICOM SEG cannot be read \(.*{sentence}.*\); submit the label again"):
        read(segmentation, series, tmp_path)
