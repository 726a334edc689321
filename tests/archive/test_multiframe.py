"""Series with several frames in a file: their volume, and DICOM SEG objects that refer to the frames."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from tests.support.enhanced_dicom import (
    OBLIQUE,
    ORDER,
    as_series,
    at,
    drawn,
    enhanced,
    patient,
    series_in,
    stored,
    written,
)
from tests.support.odd_dicom import dataset
from xssr_strategy.archive.dicom_seg import read_label_file, read_segmentation, write_segmentation
from xssr_strategy.archive.multiframe import volume_image
from xssr_strategy.archive.volumes import series_image, write_nifti
from xssr_strategy.errors import UserError

NAMES = ("liver", "tumour")


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_the_volume_is_that_of_the_same_frames_as_a_series(tmp_path: Path, colour: bool) -> None:
    image = series_image(series_in(tmp_path / "frames", colour=colour))
    files = as_series(tmp_path / "series", at(ORDER, OBLIQUE), stored(5, colour), OBLIQUE)
    expected = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(files)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    for corner in ((0, 0, 0), (11, 9, 4)):
        place = expected.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(corner), place, atol=1e-3)


@pytest.mark.parametrize("parts", [(5,), (2, 3), (1, 1, 1, 1, 1)], ids=str)
def test_a_label_comes_back_voxel_by_voxel_and_refers_to_the_frames(tmp_path: Path, parts: tuple[int, ...]) -> None:
    folder = series_in(tmp_path / "frames", parts)
    reference = series_image(folder)
    sitk.WriteImage(drawn(reference), str(tmp_path / "label.nii.gz"))
    label, _ = read_label_file(tmp_path / "label.nii.gz", reference, NAMES)
    write_segmentation(label, folder, NAMES, tmp_path / "seg.dcm")
    back = read_segmentation([tmp_path / "seg.dcm"], reference, NAMES)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(drawn(reference)))
    check_references(pydicom.dcmread(tmp_path / "seg.dcm"), [pydicom.dcmread(file) for file in folder.iterdir()])


@pytest.mark.parametrize("syntax", ["implicit", "deflated", "big endian", "packed"])
def test_the_frames_may_be_stored_in_any_encoding(tmp_path: Path, syntax: str) -> None:
    encoding = {"implicit": ImplicitVRLittleEndian, "deflated": DeflatedExplicitVRLittleEndian}
    encoding |= {"big endian": ExplicitVRBigEndian, "packed": ExplicitVRLittleEndian}
    one = enhanced(at(ORDER, OBLIQUE), stored(5), OBLIQUE, syntax=encoding[syntax], **patient())
    if syntax == "packed":
        one.compress(RLELossless)
    folder = written(tmp_path / "frames" / "0.dcm", one).parent
    reference = series_image(folder)
    write_segmentation(drawn(reference), folder, NAMES, tmp_path / "seg.dcm")
    back = read_segmentation([tmp_path / "seg.dcm"], reference, NAMES)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(drawn(reference)))
    check_references(pydicom.dcmread(tmp_path / "seg.dcm"), [pydicom.dcmread(folder / "0.dcm")])


def check_references(segmentation: pydicom.Dataset, files: list[pydicom.Dataset]) -> None:
    """Each frame of the segmentation refers to the frame of the series at its own place."""
    by_uid = {file.SOPInstanceUID: file for file in files}
    (series,) = segmentation.ReferencedSeriesSequence
    listed = [one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(by_uid)
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        file = by_uid[source.ReferencedSOPInstanceUID]
        assert source.ReferencedSOPClassUID == file.SOPClassUID
        frame = file.PerFrameFunctionalGroupsSequence[int(source.ReferencedFrameNumber) - 1]
        place = groups.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, frame.PlanePositionSequence[0].ImagePositionPatient, atol=1e-3)


def test_a_series_that_is_no_volume_is_refused_by_its_name(tmp_path: Path) -> None:
    points = [{"FrameContentSequence": {"TemporalPositionIndex": point}} for point in (1, 2)] * 2
    written(tmp_path / "1.2.3" / "0.dcm", enhanced(at([0, 0, 2, 2]), groups=points))
    with pytest.raises(UserError, match=r"^1\.2\.3: is a time series: it holds 2 time points .*; export one volume"):
        series_image(tmp_path / "1.2.3")


TILTED = [(-20.0, 0.7 * step, 2.0 * step) for step in range(5)]
"""Places of frames that a tilted gantry shifts against each other."""


def tilted_frames(folder: Path) -> None:
    order = [3, 0, 4, 2, 1]
    pixels = stored(5)
    written(folder / "0.dcm", enhanced([TILTED[step] for step in order], pixels[order], **patient()))


def tilted_odd_bits(folder: Path) -> None:
    for number, (frame, place) in enumerate(zip(stored(5), TILTED, strict=True)):
        one = dataset(frame << 4, number, HighBit=15, ImagePositionPatient=list(place), **patient())
        written(folder / f"{number}.dcm", one)


@pytest.mark.parametrize("write", [tilted_frames, tilted_odd_bits], ids=["frames", "odd bits"])
def test_of_a_tilted_series_volume_mask_and_label_lie_where_it_was_measured(tmp_path: Path, write) -> None:
    write(tmp_path / "1.2.3")
    reference = series_image(tmp_path / "1.2.3")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(reference), stored(5))
    for step in (0, 4):
        np.testing.assert_allclose(reference.TransformIndexToPhysicalPoint((0, 0, step)), TILTED[step], atol=1e-4)
    write_nifti(reference, tmp_path / "shown.nii.gz")
    shown = nib.load(tmp_path / "shown.nii.gz").affine @ (0, 0, 4, 1)
    np.testing.assert_allclose(np.array([-1, -1, 1]) * shown[:3], TILTED[4], atol=1e-4)
    write_nifti(drawn(reference), tmp_path / "label.nii.gz")
    label, _ = read_label_file(tmp_path / "label.nii.gz", reference, NAMES)
    write_segmentation(label, tmp_path / "1.2.3", NAMES, tmp_path / "seg.dcm")
    back = read_segmentation([tmp_path / "seg.dcm"], reference, NAMES)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(drawn(reference)))
    places = {
        tuple(groups.PlanePositionSequence[0].ImagePositionPatient)
        for groups in pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence
    }
    np.testing.assert_allclose(sorted(places, key=lambda place: place[2]), TILTED[1:4], atol=1e-3)


def test_a_tilted_series_in_colours_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "1.2.3" / "0.dcm", enhanced(TILTED[:4], stored(4, colour=True)))
    with pytest.raises(UserError, match=r"^1\.2\.3: its slices in colours are shifted against each other .*; resam"):
        volume_image(tmp_path / "1.2.3")


def test_frames_without_places_cannot_have_a_segmentation(tmp_path: Path) -> None:
    one = enhanced([None] * 4, ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **patient())
    del one.PerFrameFunctionalGroupsSequence, one.SharedFunctionalGroupsSequence
    folder = written(tmp_path / "1.2.3" / "0.dcm", one).parent
    with pytest.raises(UserError, match=r"^1\.2\.3: its frames have no place in space"):
        write_segmentation(drawn(series_image(folder)), folder, NAMES, tmp_path / "seg.dcm")


def test_odd_bits_of_a_series_are_what_they_are_for_selection(tmp_path: Path) -> None:
    values = stored(4)
    for number, frame in enumerate(values):
        one = dataset(frame << 4, number, HighBit=15, PhotometricInterpretation="MONOCHROME1")
        written(tmp_path / "1.2.3" / f"{number}.dcm", one)
    image = series_image(tmp_path / "1.2.3")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), 4095 - values)
    np.testing.assert_allclose(image.GetSpacing(), (1.5, 1.0, 2.0))
