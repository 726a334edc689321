"""Labels to DICOM SEG and back, on real and on oblique series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.support.data import DICOM, need
from tests.support.dicom_series import WrittenSeries, write_phantom
from xssr_strategy.archive.dicom_seg import read_label_file, read_segmentation, write_segmentation
from xssr_strategy.archive.volumes import series_image
from xssr_strategy.errors import UserError

NAMES = ("liver", "tumour")


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> WrittenSeries:
    return write_phantom(tmp_path_factory.mktemp("series"), 3, labels=2)


def folder_of(series: WrittenSeries) -> Path:
    return series.files[0].parent


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_the_series_lies_where_it_was_written(series) -> None:
    image = series_image(folder_of(series))
    assert image.GetSize() == series.label.GetSize()
    for corner in ((0, 0, 0), (31, 27, 11)):
        place = image.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose(place, series.label.TransformIndexToPhysicalPoint(corner), atol=0.01)


@pytest.mark.parametrize("drawn", [(1, 2), (1,), (2,)], ids=["both", "the first", "the second alone"])
def test_a_label_comes_back_voxel_by_voxel_and_by_name(series, tmp_path, drawn) -> None:
    reference = series_image(folder_of(series))
    values = voxels(series.label)
    values[~np.isin(values, drawn)] = 0
    label = sitk.GetImageFromArray(values)
    label.CopyInformation(reference)
    write_segmentation(label, folder_of(series), NAMES, tmp_path / "seg.dcm")
    back = read_segmentation([tmp_path / "seg.dcm"], reference, NAMES)
    np.testing.assert_array_equal(voxels(back), values)


@pytest.mark.parametrize("extension", ["nii.gz", "nrrd", "mha"])
def test_a_cropped_or_flipped_label_file_is_put_in_its_place(series, tmp_path, extension) -> None:
    reference = series_image(folder_of(series))
    cropped = sitk.Flip(series.label[4:30, 2:26, 1:11], (True, False, True))
    sitk.WriteImage(cropped, str(tmp_path / f"label.{extension}"))
    found = voxels(read_label_file(tmp_path / f"label.{extension}", reference, NAMES)[0])
    expected = np.zeros_like(voxels(series.label))
    expected[1:11, 2:26, 4:30] = voxels(series.label)[1:11, 2:26, 4:30]
    np.testing.assert_array_equal(found, expected)


def test_with_one_name_any_value_is_that_label(series, tmp_path) -> None:
    reference = series_image(folder_of(series))
    sitk.WriteImage(series.label * 7, str(tmp_path / "label.nii.gz"))
    found, _ = read_label_file(tmp_path / "label.nii.gz", reference, ("organ",))
    np.testing.assert_array_equal(voxels(found), voxels(series.label) > 0)


def bad_labels(series: WrittenSeries, folder: Path) -> dict[str, Path]:
    far = sitk.Image(series.label)
    far.SetOrigin([900.0, 0.0, 0.0])
    made = {"far": far, "three": series.label * 3, "half": sitk.Cast(series.label, sitk.sitkFloat32) * 0.5}
    paths = {}
    for name, label in made.items():
        paths[name] = folder / f"{name}.nii.gz"
        sitk.WriteImage(label, str(paths[name]))
    for extension in ("nii.gz", "nii", "nrrd"):
        whole = folder / f"whole.{extension}"
        sitk.WriteImage(series.label, str(whole))
        paths[f"cut {extension}"] = folder / f"cut.{extension}"
        paths[f"cut {extension}"].write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    paths["text"] = folder / "text.nii.gz"
    paths["text"].write_text("no label")
    paths["colour"] = folder / "colour.nrrd"
    sitk.WriteImage(sitk.Compose(series.label, series.label, series.label), str(paths["colour"]))
    return paths


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ("far", "lies elsewhere in space"),
        ("three", "holds the value 3 but the labels liver,tumour are the numbers 1 to 2"),
        ("half", r"holds the value 0\.5"),
        ("cut nii.gz", "damaged or cut off; submit it again"),
        ("cut nii", "damaged or cut off"),
        ("cut nrrd", "damaged or cut off"),
        ("text", "damaged or cut off"),
        ("colour", "not one volume of numbers"),
    ],
)
def test_bad_label_files_are_one_sentence(series, tmp_path, which, sentence) -> None:
    reference = series_image(folder_of(series))
    with pytest.raises(UserError, match=sentence) as caught:
        read_label_file(bad_labels(series, tmp_path)[which], reference, NAMES)
    assert "\n" not in str(caught.value)


def test_real_segmentations_are_the_structures_beside_them() -> None:
    folder = need(DICOM) / "ct_3slice_seg"
    reference = series_image(folder / "ct")
    found = voxels(read_segmentation([folder / "seg" / "liver.dcm"], reference, ("liver",)))
    known = voxels(sitk.ReadImage(str(folder / "nrrd" / "liver_seg.nrrd")))
    np.testing.assert_array_equal(found, known > 0)


def test_segments_are_labels_by_name_by_number_or_an_error() -> None:
    folder = need(DICOM) / "ct_3slice_seg"
    reference = series_image(folder / "ct")
    overlapping = folder / "seg" / "partial_overlaps.dcm"  # GREEN, ORANGE, PURPLE, LIGHT_BLUE, DARK_BLUE
    with pytest.raises(UserError, match=r"segment 3 'purple' is none of the labels orange,green; change --conf labels"):
        read_segmentation([overlapping], reference, ("orange", "green"))
    one = voxels(read_segmentation([overlapping], reference, ("anything",)))
    names = ("dark_blue", "light_blue", "purple", "orange", "green")
    every = voxels(read_segmentation([overlapping], reference, names))
    np.testing.assert_array_equal(every > 0, one > 0)
    assert set(np.unique(every)) == {0, 1, 2, 3, 4, 5}


def test_what_is_no_series_or_no_segmentation(tmp_path, series) -> None:
    (tmp_path / "x.dcm").write_bytes(b"no DICOM")
    with pytest.raises(UserError, match="the series cannot be decoded"):
        series_image(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        read_segmentation([series.files[0]], series_image(folder_of(series)), NAMES)


def test_names_in_any_script_are_written_and_read(series, tmp_path) -> None:
    names = ("Leber", "Geschwür 瘤")
    reference = series_image(folder_of(series))
    label = sitk.GetImageFromArray(voxels(series.label))
    label.CopyInformation(reference)
    write_segmentation(label, folder_of(series), names, tmp_path / "seg.dcm")
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert [segment.SegmentLabel for segment in written.SegmentSequence] == list(names)
    assert written.PatientName == f"Phantom^{series.patient}"
    turned = read_segmentation([tmp_path / "seg.dcm"], reference, names[::-1])
    np.testing.assert_array_equal(voxels(turned), np.array([0, 2, 1], np.uint8)[voxels(series.label)])


def test_the_objects_of_one_series_are_one_label(series, tmp_path) -> None:
    reference = series_image(folder_of(series))
    for value in (1, 2):
        only = sitk.Cast(series.label == value, sitk.sitkUInt8) * value
        only.CopyInformation(reference)
        write_segmentation(only, folder_of(series), NAMES, tmp_path / f"{value}.dcm")
    back = read_segmentation([tmp_path / "1.dcm", tmp_path / "2.dcm"], reference, NAMES)
    np.testing.assert_array_equal(voxels(back), voxels(series.label))
    assert not voxels(read_segmentation([], reference, NAMES)).any()
