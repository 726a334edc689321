"""What an inference sends to a viewer that asks for a DICOM SEG."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from fastapi import HTTPException
from monailabel.endpoints import infer

from tests.support.enhanced_dicom import drawn as drawn_label
from tests.support.enhanced_dicom import series_in
from tests.support.geometries import TILT, write_tilted
from xssr_strategy.archive.dicom_seg import read_segmentation
from xssr_strategy.archive.volumes import series_image
from xssr_strategy.web import inference

NAMES = ("liver", "tumour")


@pytest.fixture(autouse=True)
def _checked(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in ("run_inference", "nifti_to_dicom_seg"):
        monkeypatch.setattr(infer, function, getattr(infer, function))  # as they were, afterwards
    monkeypatch.setattr(inference, "app_instance", lambda: SimpleNamespace(labels=list(NAMES)))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # where dcmqi is
    inference.check_inference_requests()


def written(series: Path, label: sitk.Image, numbers: np.ndarray, label_info: object) -> Path:
    mask = sitk.GetImageFromArray(numbers)
    mask.CopyInformation(label)
    sitk.WriteImage(mask, str(series.parent / "mask.nrrd"))
    return Path(infer.nifti_to_dicom_seg(str(series), str(series.parent / "mask.nrrd"), label_info, use_itk=True))


@pytest.mark.parametrize("drawn", [(1, 2), (2,)], ids=["both", "tumour alone"])
@pytest.mark.parametrize("enhanced", [False, True], ids=["tilted", "enhanced"])
def test_it_comes_back_voxel_by_voxel(tmp_path: Path, enhanced: bool, drawn: tuple[int, ...]) -> None:
    folder = tmp_path / "series"
    label = drawn_label(series_image(series_in(folder))) if enhanced else write_tilted(folder).label
    numbers = sitk.GetArrayFromImage(label)
    numbers[~np.isin(numbers, drawn)] = 0
    file = written(folder, label, numbers, [{"name": name} for name in NAMES])
    found = read_segmentation([file], series_image(folder), NAMES)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), numbers)
    dataset = pydicom.dcmread(file)
    named = [one.SegmentLabel for one in dataset.SegmentSequence]
    assert sorted(named) == sorted(NAMES[number - 1] for number in drawn)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if not enhanced:
        assert float(measures.SpacingBetweenSlices) == pytest.approx(5 * np.cos(TILT))
    own = {str(pydicom.dcmread(one, stop_before_pixels=True).SOPInstanceUID) for one in folder.glob("*.dcm")}
    (referred,) = dataset.ReferencedSeriesSequence
    assert {str(one.ReferencedSOPInstanceUID) for one in referred.ReferencedInstanceSequence} <= own


def test_names_and_colours_are_those_of_the_asker_or_of_the_app(tmp_path: Path) -> None:
    series = write_tilted(tmp_path / "series")
    numbers = sitk.GetArrayFromImage(series.label)
    segments = pydicom.dcmread(written(tmp_path / "series", series.label, numbers, [])).SegmentSequence
    assert [one.SegmentLabel for one in segments] == list(NAMES)
    assert {one.SegmentAlgorithmType for one in segments} == {"AUTOMATIC"}
    asked = [
        {"name": "Leber", "description": "all of it"},
        {"color": [0, 0, 0], "segmentAttribute": {"labelID": 7, "SegmentDescription": "a lesion"}},
    ]
    segments = pydicom.dcmread(written(tmp_path / "series", series.label, numbers, asked)).SegmentSequence
    assert [one.SegmentLabel for one in segments] == ["Leber", "tumour"]
    assert [one.SegmentDescription for one in segments] == ["all of it", "a lesion"]
    assert segments[1].RecommendedDisplayCIELabValue[0] == 0  # black
    swapped = [{"name": "Tumour", "description": "a lesion"}, {"name": "liver", "description": "all of it"}]
    segments = pydicom.dcmread(written(tmp_path / "series", series.label, numbers, swapped)).SegmentSequence
    assert [one.SegmentLabel for one in segments] == ["liver", "Tumour"]
    assert [one.SegmentDescription for one in segments] == ["all of it", "a lesion"]
    segments = pydicom.dcmread(written(tmp_path / "series", series.label, numbers, swapped[:1])).SegmentSequence
    assert [one.SegmentLabel for one in segments] == ["liver", "Tumour"]
    odd = [{"color": "red", "segmentAttribute": 1}, {"color": [300, 0, 0], "description": 7}]
    segments = pydicom.dcmread(written(tmp_path / "series", series.label, numbers, odd)).SegmentSequence
    assert [one.SegmentDescription for one in segments] == list(NAMES)
    assert all(one.RecommendedDisplayCIELabValue[0] > 0 for one in segments)


def test_a_mask_without_anything_is_refused_with_a_sentence(tmp_path: Path) -> None:
    series = write_tilted(tmp_path / "series")
    with pytest.raises(HTTPException, match="Nothing is segmented on this image"):
        written(tmp_path / "series", series.label, np.zeros_like(sitk.GetArrayFromImage(series.label)), [])
    assert not (tmp_path / "mask.nrrd").exists()  # nobody else removes it
