"""Frames that are no single volume are refused with one sentence that says what they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.support.enhanced_dicom import AXIAL, SPACING, Groups, at, enhanced, nuclear, stored, written
from tests.support.odd_dicom import dataset
from xssr_strategy.images.reading import UnreadableImage, read_image

TWICE = at([0, 2, 4, 0, 2, 4])
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"


def halves(sequence: str, keyword: str, first: Any, second: Any) -> list[Groups]:
    """Three frames with the first value, three with the second."""
    return [{sequence: {keyword: value}} for value in [first] * 3 + [second] * 3]


def turned() -> Dataset:
    orientation = [
        {"PlaneOrientationSequence": {"ImageOrientationPatient": list(both)}} for both in (AXIAL, AXIAL[::-1])
    ]
    return enhanced(at([0, 2]), groups=orientation)


def plain(**tags: Any) -> Dataset:
    """Frames without functional groups."""
    one = enhanced([None] * 4, stored(4, colour=tags.pop("colour", False)), **tags)
    del one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence
    return one


def described(count: int) -> Dataset:
    one = enhanced(at([0, 2, 4, 6]))
    one.PerFrameFunctionalGroupsSequence = one.PerFrameFunctionalGroupsSequence[:count]
    return one


PLACED = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": list(AXIAL), "PixelSpacing": list(SPACING)}
TIME = "is a time series: it holds 2 time points of a slice; export one volume of it$"
CINE = "is a cine of 4 frames; "
REFUSED = {
    "time points": (TIME, enhanced(TWICE, groups=halves("FrameContentSequence", "TemporalPositionIndex", 1, 2))),
    "slice by slice": (
        TIME,
        enhanced(
            at([0, 0, 2, 2]),
            groups=[{"FrameContentSequence": {"TemporalPositionIndex": index}} for index in (1, 2, 1, 2)],
        ),
    ),
    "offsets in time": (
        TIME,
        enhanced(TWICE, groups=halves("TemporalPositionSequence", "TemporalPositionTimeOffset", 0.0, 1.5)),
    ),
    "phases of the heart": (
        "holds 2 images of a slice, which differ in their cardiac phases; ",
        enhanced(TWICE, groups=halves("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", 0.0, 40.0)),
    ),
    "echoes": ("echo times; ", enhanced(TWICE, groups=halves("MREchoSequence", "EffectiveEchoTime", 5.0, 10.0))),
    "diffusion": (
        "diffusion weightings; ",
        enhanced(TWICE, groups=halves("MRDiffusionSequence", "DiffusionBValue", 0.0, 1000.0)),
    ),
    "magnitude and phase": (
        "kinds of image; ",
        enhanced(TWICE, groups=halves("MRImageFrameTypeSequence", "ComplexImageComponent", "MAGNITUDE", "PHASE")),
    ),
    "segments": (
        "segments; ",
        enhanced(TWICE, groups=halves("SegmentIdentificationSequence", "ReferencedSegmentNumber", 1, 2)),
    ),
    "nothing tells": ("holds 2 images of a slice, as a time series does; ", enhanced(TWICE)),
    "one slice twice": ("holds 2 images of a slice, as a time series does; ", enhanced(at([0, 2, 4, 2, 6]))),
    "missing": ("lies 2.00 to 16.00 mm from slice to slice", enhanced(at([22, 0, 2, 4, 20, 24]))),
    "uneven": ("unevenly spaced", enhanced(at([0, 2, 4, 7, 9]))),
    "turned": ("turned against each other", turned()),
    "shifted": (
        "shifted sideways against each other",
        enhanced([(0, 0, 0), (5, 0, 2), (0, 0, 4), (5, 0, 6), (0, 0, 8)]),
    ),
    "without places": ("without a position", enhanced([None] * 4)),
    "one without a place": ("without a position", enhanced([*at([0, 2, 4]), None])),
    "described in part": ("has 4 frames but describes 3 of them", described(3)),
    "spacing of its own": (
        "different pixel spacing",
        enhanced(at([0, 2]), groups=[{}, {"PixelMeasuresSequence": {"PixelSpacing": [2.0, 2.0]}}]),
    ),
    "spacing 0": (
        "spacing of 0 x 1 mm in its header, which is not positive",
        enhanced(at([0, 2]), groups=[{"PixelMeasuresSequence": {"PixelSpacing": [0.0, 1.0]}}] * 2),
    ),
    "tiles": ("tiles of a whole slide", enhanced([None] * 4, TotalPixelMatrixColumns=24)),
    "cine": (CINE, plain(SOPClassUID=ULTRASOUND, **PLACED)),
    "coloured cine": (CINE, plain(SOPClassUID=ULTRASOUND, colour=True)),
    "angiography": (CINE, plain(SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1")),
    "frame time": (CINE, plain(FrameIncrementPointer=0x00181063, FrameTime=40.0, **PLACED)),
    "frame time without a pointer": (CINE, plain(FrameTime=40.0)),
    "frame times": (CINE, plain(FrameIncrementPointer=0x00181065, FrameTimeVector=[0, 40, 41, 40], **PLACED)),
    "pictures": ("4 frames without a position", plain()),
    "dynamic": (
        "no slices of one volume",
        nuclear(4.0, [0x00540080, 0x00540100, 0x00540070], TimeSlotVector=[1, 1, 2, 2], SliceVector=[1, 2, 1, 2]),
    ),
    "projections": ("no slices of one volume", nuclear(4.0, 0x00540090, AngularViewVector=[1, 2, 3, 4])),
}


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        pytest.fail(f"{path} was read as {read_image(path).shape}")
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert "; " in sentence
    assert "\n" not in sentence
    return sentence.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_volume_is_named(tmp_path: Path, name: str) -> None:
    wanted, one = REFUSED[name]
    sentence = refusal(written(tmp_path / "a.dcm", one))
    assert wanted.rstrip("$") in sentence
    assert not wanted.endswith("$") or sentence == wanted.rstrip("$")
    assert refusal(written(tmp_path / "folder" / "1", one).parent) == sentence


def folder_of(path: Path, files: Iterable[Dataset]) -> Path:
    for number, one in enumerate(files):
        written(path / str(number), one)
    return path


def test_a_folder_with_one_file_for_each_time_point_is_a_time_series(tmp_path: Path) -> None:
    points = [
        enhanced(at([0, 2, 4]), groups=[{"FrameContentSequence": {"TemporalPositionIndex": point}}] * 3, number=point)
        for point in (1, 2)
    ]
    assert refusal(folder_of(tmp_path / "a", points)) == TIME.rstrip("$")


def test_a_folder_with_several_cines_is_named_as_such(tmp_path: Path) -> None:
    cines = [plain(SOPClassUID=ULTRASOUND, number=number) for number in (1, 2)]
    assert CINE in refusal(folder_of(tmp_path / "a", cines))


def test_frames_of_several_sizes_are_refused(tmp_path: Path) -> None:
    files = [enhanced(at([0, 2]), number=1), enhanced(at([4, 6]), stored(2)[:, :8], number=2)]
    refusal(folder_of(tmp_path / "a", files))


def test_frames_with_and_without_places_are_refused(tmp_path: Path) -> None:
    files = [enhanced(at([0, 2]), number=1), plain(number=2, **PLACED)]
    assert "several files with several frames each" in refusal(folder_of(tmp_path / "a", files))


def test_the_tiles_of_a_mosaic_are_no_picture(tmp_path: Path) -> None:
    mosaics = [dataset(number=number, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]) for number in range(3)]
    for path in (written(tmp_path / "a.dcm", mosaics[0]), folder_of(tmp_path / "series", mosaics)):
        assert "as tiles of one picture (mosaic); convert it" in refusal(path)
