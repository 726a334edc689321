"""What GDCM, by which ITK reads DICOM, makes of stored values that it should not: odd bits, odd colours."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import itk
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread, encaps
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEGBaseline8Bit, RLELossless

from xssr_strategy.images.refusal import Refused

_TAGS = ["BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"]
_IMAGES = ("Enhanced US Volume Storage", "RT Dose Storage")  # whose names do not say so
_INVERTED = "MONOCHROME1"


def refuse_no_image(file: Path) -> None:
    """Refuse a DICOM object that is made of images, such as a segmentation or a report.

    ITK reads some of them as if they were images.

    Raises:
        Refused: by its SOP class it is one (DICOM PS3.4, B.5).
    """
    header = dcmread(file, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"])
    if is_no_image(header):
        kind = header.SOPClassUID.name
        raise Refused(f"is no image but a DICOM object of the kind {kind}; put it into another folder")


def is_no_image(header: Dataset) -> bool:
    """Whether the SOP class of a header is one of those of :func:`refuse_no_image`."""
    kind = UID(str(header.get("SOPClassUID") or "")).name
    return kind.endswith("Storage") and "Image" not in kind and kind not in _IMAGES


def is_scrambled(header: Dataset) -> bool:
    """Whether GDCM scrambles the colours of a file: more than 8 bits packed with RLE."""
    syntax = getattr(header, "file_meta", Dataset()).get("TransferSyntaxUID")
    coloured = int(header.get("SamplesPerPixel") or 1) > 1
    return bool(syntax == RLELossless and coloured and int(header.get("BitsAllocated") or 8) > 8)


def has_odd_bits(file: Path) -> bool:
    """Whether a DICOM file stores its values above unused bits, or as signed MONOCHROME1 in a part of them.

    GDCM 3 takes the former for values 2, 4, 8, ... times as large, and cannot invert the latter.
    """
    header = dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
    if not all(header.get(tag) is not None for tag in _TAGS):
        return False
    partly_signed = header.PixelRepresentation == 1 and header.BitsStored < header.BitsAllocated
    return bool(_shift(header) or (header.PhotometricInterpretation == _INVERTED and partly_signed))


@contextmanager
def plain_copies(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Copies that GDCM reads as they are stored: as MONOCHROME2, with all bits, without rescale."""
    with TemporaryDirectory() as folder:
        copies = [Path(folder) / f"{number:06}.dcm" for number in range(len(files))]
        for file, copy in zip(files, copies, strict=True):
            one = dcmread(file, force=True)
            if one.PhotometricInterpretation == _INVERTED:
                one.PhotometricInterpretation = "MONOCHROME2"
            if _shift(one):
                one.BitsStored, one.HighBit = one.BitsAllocated, one.BitsAllocated - 1
            for keyword in ("RescaleSlope", "RescaleIntercept"):
                if keyword in one:
                    del one[keyword]
            one.save_as(copy)
        yield copies


def read_as_shown(files: Sequence[Path], read: Callable[[Sequence[Path]], Any]) -> Any:
    """What ``read`` makes of DICOM files, one a slice, as an ITK image; odd bits are put right.

    Raises:
        Refused: as ``read``, or values that contradict their header.
    """
    if not any(map(has_odd_bits, files)):
        return read(files)
    with plain_copies(files) as copies:
        image = read(copies)
    voxels = itk.array_view_from_image(image)
    for values, file in zip(voxels if len(files) > 1 else [voxels], files, strict=True):
        values[:] = shown_values(values, file)
    return image


def shown_values(stored: NDArray[np.float32], file: Path) -> NDArray[np.float64]:
    """The values of a slice: its bits, inverted if it is MONOCHROME1, with its rescale (DICOM PS3.3 C.7.6.3, C.11.1).

    Args:
        stored: whole numbers, read from a copy of :func:`plain_copies`.
        file: the original.

    Raises:
        Refused: the header says that the values are above bits which are used as well.
    """
    header = dcmread(file, stop_before_pixels=True, force=True)
    values, factor = stored.astype(np.float64), 2.0 ** _shift(header)
    if not np.any(values % factor):
        values /= factor
    elif values.max() >= 2**header.BitsStored or values.min() < 0:
        raise Refused(f"has HighBit {header.HighBit} in its header, which its values contradict; export it again")
    if header.PhotometricInterpretation == _INVERTED:
        values = (-1 if header.PixelRepresentation else 2**header.BitsStored - 1) - values
    return values * float(header.get("RescaleSlope") or 1) + float(header.get("RescaleIntercept") or 0)


def mend_colours(voxels: NDArray[np.float32], file: Path) -> None:
    """Turn colours into RGB, in place, where a JPEG stream says that it holds YCbCr but the header says RGB.

    JFIF and Adobe's marker say so in the stream, and libjpeg, which other programs use, goes by them.

    Args:
        voxels: (rows, columns, 3) or (N, rows, columns, 3).
        file: that they were read from.

    Raises:
        Refused: GDCM has scrambled them.
    """
    header = dcmread(file, stop_before_pixels=True, force=True)
    meta = getattr(header, "file_meta", Dataset())
    if is_scrambled(header):
        raise Refused(
            "holds colours of more than 8 bits packed with RLE, which GDCM does not unpack; export it unpacked"
        )
    if meta.get("TransferSyntaxUID") != JPEGBaseline8Bit or header.get("PhotometricInterpretation") != "RGB":
        return
    count = int(header.get("NumberOfFrames") or 1)
    frames: Any = voxels.reshape(count, *voxels.shape[-3:])
    for frame, stream in zip(frames, _streams(dcmread(file).PixelData, count), strict=True):
        with Image.open(io.BytesIO(stream), formats=["JPEG"]) as picture:
            told = picture.info
            if told.get("adobe_transform") == 1 or ("jfif" in told and "adobe" not in told):
                frame[:] = np.asarray(picture)  # as libjpeg turns it into RGB


def _streams(encapsulated: bytes, count: int) -> Iterator[bytes]:
    """The stream of each frame."""
    if hasattr(encaps, "generate_frames"):  # pydicom 3
        return encaps.generate_frames(encapsulated, number_of_frames=count)
    return encaps.generate_pixel_data_frame(encapsulated, count)


def _shift(header: Dataset) -> int:
    """How many bits below the values are unused."""
    return max(0, int(header.HighBit) + 1 - int(header.BitsStored))
