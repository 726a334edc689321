"""DICOM files with several frames: the volume is that of the same frames as a series, whatever their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from tests.support.enhanced_dicom import AXIAL, OBLIQUE, as_series, at, enhanced, nuclear, stored, written
from tests.support.odd_dicom import dataset
from xssr_strategy.images.reading import read_image

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORDERS = {
    "ascending": [0, 2, 4, 6, 8],
    "descending": [8, 6, 4, 2, 0],
    "interleaved": [0, 4, 8, 2, 6],
    "random": [6, 0, 8, 4, 2],
}
CLASSES = [EnhancedMRImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage]


def by_simpleitk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (C, X, Y, Z) and affine (RAS) of a series, by SimpleITK, which viewers are built upon."""
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = sitk.GetArrayFromImage(image)
    return (array if array.ndim == 4 else array[..., None]).transpose(3, 2, 1, 0), LPS @ affine


def check(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    image = read_image(path)
    np.testing.assert_array_equal(image.numpy(), values)
    np.testing.assert_allclose(image.affine.numpy(), affine, atol=1e-4)


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize("order", ORDERS)
def test_frames_are_the_volume_that_they_are_as_a_series(
    tmp_path: Path, order: str, orientation: tuple[float, ...], colour: bool
) -> None:
    positions, pixels = at(ORDERS[order], orientation), stored(5, colour)
    values, affine = by_simpleitk(as_series(tmp_path / "series", positions, pixels, orientation))
    one = enhanced(positions, pixels, orientation)
    check(written(tmp_path / "a.dcm", one), values, affine)
    check(written(tmp_path / "folder" / "1", one).parent, values, affine)


@pytest.mark.parametrize("kind", CLASSES)
def test_any_class_of_enhanced_objects_is_sorted(tmp_path: Path, kind: str) -> None:
    positions, pixels = at(ORDERS["interleaved"]), stored(5)
    expected = by_simpleitk(as_series(tmp_path / "series", positions, pixels))
    check(written(tmp_path / "a.dcm", enhanced(positions, pixels, SOPClassUID=kind)), *expected)


def test_compressed_frames_are_sorted_too(tmp_path: Path) -> None:
    positions, pixels = at(ORDERS["interleaved"]), stored(5)
    expected = by_simpleitk(as_series(tmp_path / "series", positions, pixels))
    one = enhanced(positions, pixels)
    one.compress(RLELossless, np.ascontiguousarray(pixels))
    check(written(tmp_path / "a.dcm", one), *expected)


@pytest.mark.parametrize("parts", [[3, 2], [1, 1, 1, 1, 1]], ids=["concatenation", "one frame a file"])
def test_the_frames_of_several_files_are_one_volume(tmp_path: Path, parts: list[int]) -> None:
    positions, pixels = at(ORDERS["random"]), stored(5)
    ends = np.cumsum(parts)
    for number, (start, end) in enumerate(zip(ends - parts, ends, strict=True)):
        one = enhanced(positions[start:end], pixels[start:end], number=number)
        written(tmp_path / "parts" / f"{number}.dcm", one)
    check(tmp_path / "parts", *by_simpleitk(as_series(tmp_path / "series", positions, pixels)))


def rescale(slope: float, intercept: float) -> dict[str, Any]:
    of_one = {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "US"}
    return {"PixelValueTransformationSequence": of_one}


@pytest.mark.parametrize("kind", [*CLASSES, BreastTomosynthesisImageStorage])
@pytest.mark.parametrize("black", ["MONOCHROME2", "MONOCHROME1"])
def test_each_frame_has_its_own_rescale(tmp_path: Path, kind: str, black: str) -> None:
    pixels = stored(4)
    own = [(0.5, -1000), (2, 0), (0.3125, 7.5), (1, 3)]
    one = enhanced(
        at([6, 4, 2, 0]),
        pixels,
        groups=[rescale(*pair) for pair in own],
        SOPClassUID=kind,
        PhotometricInterpretation=black,
    )
    shown = pixels if black == "MONOCHROME2" else 4095 - pixels
    expected = np.stack([frame * slope + shift for frame, (slope, shift) in zip(shown, own, strict=True)])[::-1]
    image = read_image(written(tmp_path / "a.dcm", one))
    np.testing.assert_allclose(image.numpy()[0], expected.transpose(2, 1, 0), rtol=1e-6)


def test_one_rescale_for_all_is_applied_once(tmp_path: Path) -> None:
    pixels = stored(3)
    for name, pair in (("a", (0.25, -1024)), ("b", (1, 0))):
        path = written(tmp_path / f"{name}.dcm", enhanced(at([0, 2, 4]), pixels, groups=[rescale(*pair)] * 3))
        expected = (pixels * pair[0] + pair[1]).transpose(2, 1, 0)
        np.testing.assert_array_equal(read_image(path).numpy()[0], expected)


def test_a_tilted_gantry_shears_the_volume(tmp_path: Path) -> None:
    positions = [(0.0, 0.7 * step, 2.0 * step) for step in (2, 0, 1, 3)]
    affine = read_image(written(tmp_path / "a.dcm", enhanced(positions))).affine.numpy()
    np.testing.assert_allclose((LPS @ affine)[:3], [[1.5, 0, 0, 0], [0, 1, 0.7, 0], [0, 0, 2, 0]], atol=1e-6)


def test_what_simpleitk_wrote_is_as_simpleitk_reads_it(tmp_path: Path) -> None:
    volume = sitk.GetImageFromArray(stored(4))
    volume.SetSpacing((1.0, 2.0, 3.0))
    volume.SetOrigin((7.0, 8.0, 9.0))
    sitk.WriteImage(volume, str(tmp_path / "a.dcm"))
    image = read_image(tmp_path / "a.dcm")
    np.testing.assert_array_equal(image.numpy()[0], stored(4).transpose(2, 1, 0))
    np.testing.assert_array_equal((LPS @ image.affine.numpy())[:3], [[1, 0, 0, 7], [0, 2, 0, 8], [0, 0, 3, 9]])


@pytest.mark.parametrize("order", ["as it is", "from the last to the first"])
def test_a_dose_lies_at_its_grid_offsets(tmp_path: Path, order: str) -> None:
    one = pydicom.dcmread(get_testdata_file("rtdose.dcm"))
    pixels, offsets = one.pixel_array, np.array(one.GridFrameOffsetVector, dtype=float)
    if order != "as it is":
        one.GridFrameOffsetVector = (offsets[::-1] - offsets[-1]).tolist()
        one.ImagePositionPatient = [*one.ImagePositionPatient[:2], float(one.ImagePositionPatient[2]) + offsets[-1]]
        one.PixelData = pixels[::-1].tobytes()
    one.save_as(tmp_path / "a.dcm")
    image = read_image(tmp_path / "a.dcm")
    np.testing.assert_array_equal(image.numpy()[0], pixels.transpose(2, 1, 0))  # as stored, without DoseGridScaling
    assert image.affine[2, 2] == pytest.approx(offsets[1] - offsets[0])


@pytest.mark.parametrize("spacing", [4.0, -4.0])
def test_nuclear_medicine_counts_its_slices_in_either_direction(tmp_path: Path, spacing: float) -> None:
    image = read_image(written(tmp_path / "a.dcm", nuclear(spacing)))
    frames = stored(4) if spacing > 0 else stored(4)[::-1]
    np.testing.assert_array_equal(image.numpy()[0], frames.transpose(2, 1, 0))
    lowest = 50 if spacing > 0 else 38
    np.testing.assert_allclose((LPS @ image.affine.numpy())[:3], [[1.5, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, lowest]])


def test_a_folder_of_one_coloured_file_is_what_the_file_is(tmp_path: Path) -> None:
    pixels = stored(1, colour=True)[0]
    one = dataset(pixels, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    image = read_image(written(tmp_path / "folder" / "1", one).parent)
    np.testing.assert_array_equal(image.numpy(), pixels.transpose(2, 1, 0))
