"""What an inference sends to a viewer that asks for a DICOM SEG."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from monailabel.datastore.utils import convert
from monailabel.endpoints import infer

from tests.support.geometries import TILT, write_tilted
from xssr_strategy.archive.dicom_seg import read_segmentation
from xssr_strategy.archive.volumes import series_image
from xssr_strategy.web.inference import check_inference_requests

NAMES = ("liver", "tumour")


@pytest.mark.parametrize("drawn", [(1, 2), (2,)], ids=["both", "tumour alone"])
@pytest.mark.parametrize("use_itk", [True, False], ids=["dcmqi", "highdicom"])
def test_of_a_tilted_series_it_comes_back_voxel_by_voxel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: tuple[int, ...], use_itk: bool
) -> None:
    if not use_itk and not hasattr(convert, "HIGHDICOM_AVAILABLE"):
        pytest.skip("MONAI Label 0.8.5 writes with dcmqi")
    for function in ("run_inference", "nifti_to_dicom_seg"):
        monkeypatch.setattr(infer, function, getattr(infer, function))  # as they were, afterwards
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # where dcmqi is
    check_inference_requests()
    series = write_tilted(tmp_path / "series")
    numbers = sitk.GetArrayFromImage(series.label)
    numbers[~np.isin(numbers, drawn)] = 0
    mask = sitk.GetImageFromArray(numbers)
    mask.CopyInformation(series.label)
    sitk.WriteImage(mask, str(tmp_path / "mask.nrrd"))
    segments = [{"name": name} for name in NAMES]
    file = infer.nifti_to_dicom_seg(str(tmp_path / "series"), str(tmp_path / "mask.nrrd"), segments, use_itk=use_itk)
    found = read_segmentation([Path(file)], series_image(tmp_path / "series"), NAMES)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), numbers)
    named = {one.SegmentNumber: one.SegmentLabel for one in pydicom.dcmread(file).SegmentSequence}
    named.pop(0, None)  # the background of a label map
    assert sorted(named.values()) == sorted(NAMES[number - 1] for number in drawn)
    measures = pydicom.dcmread(file).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(5 * np.cos(TILT))
