"""Broken and odd DICOM files and series."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
)

from tests.support.image_corpus import DAMAGED, EMBEDDED, Case

Writer = Callable[[Path], object]
UNEVEN = "slices are missing or unevenly spaced"
SAME_PLACE = "has two slices at the same place"
SEVERAL = "holds 2 readable DICOM series"
LOST = "holds 1 DICOM files that are damaged"


def slices(rows: int = 10, columns: int = 12) -> np.ndarray:
    """One slice of 12 bits."""
    return np.random.default_rng(5).integers(0, 4096, (rows, columns)).astype(np.uint16)


def dataset(
    pixels: np.ndarray | None = None, number: int = 1, syntax: str = ExplicitVRLittleEndian, **tags: Any
) -> Dataset:
    """One MR slice at z = 2 * number mm; ``tags`` overwrite, None removes."""
    stored = slices() if pixels is None else pixels
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    one.file_meta.MediaStorageSOPClassUID = MRImageStorage
    one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
    one.is_little_endian = syntax != ExplicitVRBigEndian
    one.is_implicit_VR = syntax == ImplicitVRLittleEndian
    values: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": f"1.2.3.4.{number}",
        "Modality": "MR",
        "PatientID": "1",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "InstanceNumber": number,
        "ImagePositionPatient": [0, 0, 2.0 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1.0, 1.5],
        "SliceThickness": 2.0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 8 * stored.itemsize,
        "BitsStored": 12 if stored.itemsize == 2 else 8,
        "HighBit": 11 if stored.itemsize == 2 else 7,
        "PixelRepresentation": 0,
        "PixelData": stored.tobytes() if one.is_little_endian else stored.byteswap().tobytes(),
    }
    for name, value in {**values, **tags}.items():
        if value is not None:
            setattr(one, name, value)
    if "PixelData" in one:
        one["PixelData"].VR = "OW" if stored.itemsize == 2 else "OB"
    return one


def saved(one: Dataset) -> bytes:
    """The file of a dataset."""
    file = io.BytesIO()
    one.save_as(file, write_like_original=False)
    return file.getvalue()


def packed(syntax: str, frame: bytes, pixels: np.ndarray | None = None, **tags: Any) -> bytes:
    """The file of a slice whose pixels are a compressed frame."""
    one = dataset(pixels, syntax=syntax, **{**tags, "PixelData": encapsulate([frame])})
    one["PixelData"].is_undefined_length = True
    one["PixelData"].VR = "OB"
    return saved(one)


def coded(kind: str, array: np.ndarray, **options: Any) -> bytes:
    """A compressed picture."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def rle() -> bytes:
    """A slice in run-length encoding."""
    one = dataset()
    one.compress(RLELossless)
    return saved(one)


def rle_without_segments() -> bytes:
    """A slice in run-length encoding by which GDCM 3.0, as ITK 5.4 has it, divides by zero: that ends the process."""
    whole = rle()
    place = whole.index(b"\xfe\xff\x00\xe0", whole.index(b"\xe0\x7f\x10\x00") + 20) + 8
    return whole[:place] + bytes(4) + whole[place + 4 :]


def raw(data: bytes, share: float = 1.0) -> Writer:
    """These bytes, or their first part."""
    return lambda path: path.write_bytes(data[: int(len(data) * share)])


def series(files: Iterable[Dataset | bytes], *more: Callable[[Path], object]) -> Writer:
    """A folder of slices, and what else is put there."""

    def write(folder: Path) -> None:
        folder.mkdir()
        for number, one in enumerate(files):
            (folder / f"IM{number:03}").write_bytes(one if isinstance(one, bytes) else saved(one))
        for add in more:
            add(folder)

    return write


def stack(numbers: Iterable[int] = range(6), **tags: Any) -> list[Dataset]:
    """Slices with these numbers, which are their places too."""
    return [dataset(number=number, **tags) for number in numbers]


def tilted() -> list[Dataset]:
    """Slices that are shifted against each other, as with a tilted gantry."""
    return [dataset(number=number, ImagePositionPatient=[0, 0.7 * number, 2.0 * number]) for number in range(6)]


def _pipe(folder: Path) -> None:
    import os

    os.mkfifo(folder / "pipe")


def _others(folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").write_bytes(b"\0" * 200)
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (folder / "deeper").mkdir()


_GREY8 = slices().astype(np.uint8)
_RGB = np.random.default_rng(6).integers(0, 256, (10, 12, 3)).astype(np.uint8)
_FRAMES = np.random.default_rng(6).integers(0, 4096, (5, 10, 12)).astype(np.uint16)
_COLOUR = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
_FRAME_TAGS = {"NumberOfFrames": 5, "Rows": 10, "Columns": 12}
_FILE = saved(dataset())
_J2K = coded("JPEG2000", slices(40, 48), no_jp2=True, irreversible=False)
_NO_PLACE = {"ImagePositionPatient": None, "ImageOrientationPatient": None}

FILES = [
    Case("plain.dcm", raw(_FILE), EMBEDDED),
    Case("no rescale, no spacing.dcm", raw(saved(dataset(PixelSpacing=None, SliceThickness=None))), EMBEDDED),
    Case("monochrome 1.dcm", raw(saved(dataset(PhotometricInterpretation="MONOCHROME1"))), EMBEDDED),
    Case("colour.dcm", raw(saved(dataset(_RGB, **_COLOUR))), EMBEDDED),
    Case("implicit.dcm", raw(saved(dataset(syntax=ImplicitVRLittleEndian))), EMBEDDED),
    Case("big endian.dcm", raw(saved(dataset(syntax=ExplicitVRBigEndian))), EMBEDDED),
    Case("deflated.dcm", raw(saved(dataset(syntax=DeflatedExplicitVRLittleEndian))), EMBEDDED),
    Case("rle.dcm", raw(rle()), EMBEDDED),
    Case("jpeg.dcm", raw(packed(JPEGBaseline8Bit, coded("JPEG", _GREY8), _GREY8)), EMBEDDED),
    Case("jpeg 2000.dcm", raw(packed(JPEG2000Lossless, _J2K, slices(40, 48), BitsStored=16, HighBit=15)), EMBEDDED),
    Case("jpeg 2000, cut.dcm", raw(packed(JPEG2000Lossless, _J2K[: len(_J2K) // 2], slices(40, 48))), DAMAGED),
    Case("smaller jpeg inside.dcm", raw(packed(JPEGBaseline8Bit, coded("JPEG", _GREY8[:5]), _GREY8)), EMBEDDED),
    Case("no jpeg inside.dcm", raw(packed(JPEGBaseline8Bit, b"no JPEG at all", _GREY8)), DAMAGED),
    Case("mpeg.dcm", raw(packed(MPEG2MPML, b"\0\0\1\xb3 no video", _GREY8)), DAMAGED),
    Case("unknown syntax.dcm", raw(_FILE.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0")), DAMAGED),
    Case("no pixels.dcm", raw(saved(dataset(PixelData=None))), "has no pixels|is damaged"),
    Case("fewer pixels.dcm", raw(saved(dataset(PixelData=slices().tobytes()[:100]))), DAMAGED),
    Case("empty pixels.dcm", raw(saved(dataset(PixelData=b""))), DAMAGED),
    Case("no rows.dcm", raw(saved(dataset(Rows=0))), DAMAGED),
    Case(
        "claims much.dcm", raw(saved(dataset(Rows=65535, Columns=65535, NumberOfFrames=99999))), "would need|is damaged"
    ),
    Case("spacing 0.dcm", raw(saved(dataset(PixelSpacing=[0, 0]))), f"spacing .* not positive|{DAMAGED}"),
    Case("negative spacing.dcm", raw(saved(dataset(PixelSpacing=[-1, 1]))), f"spacing .* not positive|{DAMAGED}"),
    Case("orientation 0.dcm", raw(saved(dataset(ImageOrientationPatient=[0] * 6))), "unusable orientation"),
    Case("frames.dcm", raw(saved(dataset(_FRAMES, **_FRAME_TAGS))), "is a 3-D image but preset 'xray'"),
    Case("text.dcm", raw(b"This is a text, whatever its name says.\n" * 9), DAMAGED),
    Case("magic alone.dcm", raw(bytes(128) + b"DICM"), DAMAGED),
    *(Case(f"cut at {share:.0%}.dcm", raw(_FILE, share), DAMAGED) for share in (0.1, 0.4, 0.7, 0.9, 0.99)),
]

SERIES = [
    Case("series", series(stack()), EMBEDDED),
    Case("series with other files", series(stack(), _others), EMBEDDED),
    Case("series with a pipe", series(stack(), _pipe), "holds pipe, which is no file"),
    Case("series <b>bold</b>".replace("/", "\u2215"), series(stack()), EMBEDDED),
    Case("tilted gantry", series(tilted()), EMBEDDED),
    Case("frames.dcm", raw(saved(dataset(_FRAMES, **_FRAME_TAGS))), EMBEDDED),
    Case("one slice missing", series(stack([0, 1, 2, 4, 5, 6])), UNEVEN),
    Case("many slices missing", series(stack([0, 1, 2, 3, 30, 31, 32])), UNEVEN),
    Case("last but one missing", series(stack([0, 1, 2, 3, 4, 6])), UNEVEN),
    Case("every slice twice", series([*stack(), *stack()]), SAME_PLACE),
    Case("one slice twice", series([*stack(), dataset(number=3)]), SAME_PLACE),
    Case("no place", series(stack(**_NO_PLACE)), "without a position"),
    Case(
        "one slice turned",
        series([*stack(), dataset(number=6, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])]),
        "turned against each other",
    ),
    Case("sizes differ", series([*stack(), dataset(slices(11, 12), 6)]), DAMAGED),
    Case("two series", series([*stack(), dataset(number=6, SeriesInstanceUID="1.2.3.5")]), SEVERAL),
    Case("one slice alone", series(stack([1])), "is a 2-D image but preset 'mri'"),
    Case("one slice cut", series([*stack(), saved(dataset(number=6))[:-60]]), LOST),
    Case("one slice without pixels", series([*stack(), dataset(number=6, PixelData=None)]), LOST),
    Case("magic alone", series([bytes(128) + b"DICM"]), f"{DAMAGED}|holds 0 readable"),
]
