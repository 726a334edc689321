"""Stored values that GDCM takes for others: values above unused bits, signed MONOCHROME1, YCbCr that is called RGB.

And objects that it takes for images.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    EnhancedUSVolumeStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from tests.support.enhanced_dicom import at, enhanced, written
from tests.support.odd_dicom import coded, dataset, packed, rle, saved, slices
from xssr_strategy.images.reading import UnreadableImage, read_image

VALUES = slices()
"""Of 12 bits."""

SIGNED = VALUES.astype(np.int16) - 2048
INVERTED = {"PhotometricInterpretation": "MONOCHROME1"}
ABOVE = {"BitsStored": 12, "HighBit": 15}
IMAGES = [SecondaryCaptureImageStorage, EnhancedUSVolumeStorage, DigitalXRayImageStorageForPresentation]
NO_IMAGES = [SegmentationStorage, RTStructureSetStorage, GrayscaleSoftcopyPresentationStateStorage]
NEGATIVE = {"PixelRepresentation": 1}
RESCALE = {"RescaleSlope": 0.5, "RescaleIntercept": -1000}


def unsigned(values: np.ndarray) -> np.ndarray:
    """The same bits."""
    return values.astype("<i2").view("<u2")


CASES: dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray]] = {
    "above": (VALUES << 4, ABOVE, VALUES),
    "above, of a header that is wrong": (VALUES, ABOVE, VALUES),
    "above, inverted": (VALUES << 4, ABOVE | INVERTED, 4095 - VALUES),
    "above, signed": (unsigned(SIGNED << 4), ABOVE | NEGATIVE, SIGNED),
    "above, signed, inverted": (unsigned(SIGNED << 4), ABOVE | NEGATIVE | INVERTED, -1 - SIGNED),
    "above, rescaled": (VALUES << 4, ABOVE | RESCALE, VALUES * 0.5 - 1000),
    "ten bits above two": (VALUES - VALUES % 4, {"BitsStored": 10, "HighBit": 11}, VALUES >> 2),
    "signed, inverted": (unsigned(SIGNED), NEGATIVE | INVERTED, -1 - SIGNED),
    "signed, inverted, upper bits empty": (unsigned(SIGNED) & 0xFFF, NEGATIVE | INVERTED, -1 - SIGNED),
    "signed, inverted, rescaled": (unsigned(SIGNED), NEGATIVE | INVERTED | RESCALE, (-1 - SIGNED) * 0.5 - 1000),
    "signed, upper bits empty": (unsigned(SIGNED) & 0xFFF, NEGATIVE, SIGNED),
    "inverted, rescaled": (VALUES, INVERTED | RESCALE, (4095 - VALUES) * 0.5 - 1000),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_their_bits(tmp_path: Path, name: str) -> None:
    stored, tags, expected = CASES[name]
    (tmp_path / "a.dcm").write_bytes(saved(dataset(stored, **tags)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").numpy()[0], expected.T)
    (tmp_path / "one").mkdir()
    shutil.copy(tmp_path / "a.dcm", tmp_path / "one" / "a")
    np.testing.assert_array_equal(read_image(tmp_path / "one").numpy()[0], expected.T)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian], ids=str)
@pytest.mark.parametrize("meta", [True, False], ids=["part 10", "without file meta"])
def test_values_above_unused_bits_are_read_in_any_encoding(tmp_path: Path, syntax: str, meta: bool) -> None:
    whole = saved(dataset(VALUES << 4, syntax=syntax, **ABOVE))
    length = int.from_bytes(whole[140:144], "little")  # of the file meta, which is after the preamble
    (tmp_path / "a.dcm").write_bytes(whole if meta else whole[144 + length :])
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").numpy()[0], VALUES.T)


@pytest.mark.parametrize("name", ["above, rescaled", "signed, inverted"])
def test_each_slice_of_a_series_has_its_own_bits(tmp_path: Path, name: str) -> None:
    stored, tags, expected = CASES[name]
    for number in range(4):
        odd = number % 2 == 0
        one = dataset(stored, number, **tags) if odd else dataset(VALUES, number, RescaleSlope=3, RescaleIntercept=1)
        (tmp_path / f"{number}").write_bytes(saved(one))
    image = read_image(tmp_path)
    for number in range(4):
        wanted = expected if number % 2 == 0 else VALUES * 3 + 1
        np.testing.assert_array_equal(image.numpy()[0, :, :, number], wanted.T)
    assert image.affine[2, 2] == pytest.approx(2.0)


def test_a_header_that_its_values_contradict_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(saved(dataset((VALUES << 4) | 1, **ABOVE)))
    with pytest.raises(UnreadableImage, match=r"a\.dcm: has HighBit 15 in its header, .* contradict; export it again"):
        read_image(tmp_path / "a.dcm")


def test_odd_bits_in_several_frames_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dcm", enhanced(at([0, 2, 4]), **NEGATIVE, **INVERTED))
    with pytest.raises(UnreadableImage, match=r"a\.dcm: stores its frames as signed MONOCHROME1 .*; export them as"):
        read_image(path)


def test_run_length_encoding_keeps_its_values(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(rle())
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").numpy()[0], VALUES.T)


COLOURS = np.random.default_rng(2).integers(0, 256, (2, 3, 3)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
THREE = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}


@pytest.mark.parametrize("keep_rgb", [False, True], ids=["YCbCr", "RGB"])
@pytest.mark.parametrize("place", ["file", "folder"])
def test_colours_are_those_of_the_jpeg_stream_whatever_the_header_calls_them(
    tmp_path: Path, place: str, keep_rgb: bool
) -> None:
    stream = coded("JPEG", COLOURS, quality=100, subsampling=0, keep_rgb=keep_rgb)
    path = tmp_path / "a.dcm"
    path.write_bytes(packed(JPEGBaseline8Bit, stream, COLOURS, **THREE))
    image = read_image(path if place == "file" else tmp_path)
    np.testing.assert_allclose(image.numpy(), COLOURS.transpose(2, 1, 0), atol=3)


@pytest.mark.parametrize(
    "name",
    [
        "SC_jpeg_no_color_transform.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
    ],
)
def test_colours_that_other_programs_tagged_rightly_stay_as_they_are(tmp_path: Path, name: str) -> None:
    shutil.copy(get_testdata_file(name), tmp_path / "a.dcm")
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.dcm"))).squeeze()
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").numpy(), expected.transpose(2, 1, 0))


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_made_of_images_is_none(tmp_path: Path, kind: str) -> None:
    content = saved(dataset(SOPClassUID=kind))
    (tmp_path / "alone").mkdir()
    for path in (tmp_path / "a.dcm", tmp_path / "alone" / "a.dcm"):
        path.write_bytes(content)
    written(tmp_path / "frames.dcm", enhanced(at([0, 2, 4]), SOPClassUID=kind))
    for path in (tmp_path / "a.dcm", tmp_path / "alone", tmp_path / "frames.dcm"):
        with pytest.raises(UnreadableImage, match=r"no image but a DICOM object of the kind .* Storage; put it in"):
            read_image(path)


@pytest.mark.parametrize("kind", IMAGES)
def test_other_kinds_are_images(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.dcm").write_bytes(saved(dataset(SOPClassUID=kind)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").numpy()[0], slices().T)


def test_colours_that_gdcm_does_not_unpack_are_refused(tmp_path: Path) -> None:
    shutil.copy(get_testdata_file("SC_rgb_rle_16bit.dcm"), tmp_path / "a.dcm")
    with pytest.raises(UnreadableImage, match=r"holds colours of more than 8 bits packed with RLE, .*; export"):
        read_image(tmp_path / "a.dcm")
    shutil.copy(get_testdata_file("SC_rgb_rle.dcm"), tmp_path / "b.dcm")
    expected = dcmread(tmp_path / "b.dcm").pixel_array
    np.testing.assert_array_equal(read_image(tmp_path / "b.dcm").numpy(), expected.transpose(2, 1, 0))
