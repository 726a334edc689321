"""The numbers that a label's file stores, and formats in which it does not keep them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import tifffile
from monai.data import MetaTensor
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless
from tifffile import COMPRESSION, PHOTOMETRIC

from xssr_strategy.errors import UserError
from xssr_strategy.images.headers import PNG_GREY, png_kind
from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.reading import read_image
from xssr_strategy.images.tiff import photometric

_LOSSY_DICOM = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_REMEDY = "save it as PNG, TIFF without JPEG compression, NRRD or NIfTI"


def read_numbers(path: Path, layered: bool = False) -> MetaTensor:
    """A label file as :func:`xssr_strategy.images.reading.read_image` reads it, with the numbers that it stores.

    Libraries spread the grey values of a PNG of 1, 2 or 4 bits over 0 to 255, as a picture needs it.

    Raises:
        UserError: it cannot be read, or its format changes numbers.
    """
    refuse_lossy_format(path)
    label = read_image(path, layered=layered)
    if image_extension(path) == ".png":
        depth, colours = png_kind(path)
        if depth < 8 and colours == PNG_GREY:
            return cast(MetaTensor, label / (255 // (2**depth - 1)))
    return label


def refuse_lossy_name(path: Path) -> None:
    """Refuse a label that is a JPEG by its name; the file is not opened.

    Raises:
        UserError: it is.
    """
    if image_extension(path) in (".jpg", ".jpeg"):
        raise UserError(
            f"{path}: the label is a JPEG, whose compression changes the numbers along every edge; draw or export it "
            f"anew and {_REMEDY}"
        )


def refuse_lossy_format(path: Path) -> None:
    """Refuse a label whose format has changed its numbers; a file that is damaged passes.

    Raises:
        UserError: a JPEG; DICOM with lossy compression, now or once; a TIFF compressed as JPEG, or whose numbers of
            more than one bit count from white.
    """
    refuse_lossy_name(path)
    if image_extension(path) == ".dcm":
        _refuse_lossy_dicom(path)
    elif image_extension(path) in (".tif", ".tiff"):
        _refuse_lossy_tiff(path)


def _refuse_lossy_dicom(path: Path) -> None:
    try:
        header = dcmread(path, specific_tags=["LossyImageCompression"])
    except (InvalidDicomError, OSError):  # left to the reading
        return
    if header.get("LossyImageCompression") == "01" or header.file_meta.get("TransferSyntaxUID") in _LOSSY_DICOM:
        raise UserError(
            f"{path}: the label is DICOM with lossy compression, which changes the numbers along every edge; draw or "
            f"export it anew and {_REMEDY}"
        )


def _refuse_lossy_tiff(path: Path) -> None:
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            lossy, meaning, bits = page.compression == COMPRESSION.JPEG, photometric(page), page.bitspersample
    except (tifffile.TiffFileError, OSError, ValueError, IndexError):  # left to the reading
        return
    if lossy:
        raise UserError(
            f"{path}: the label is compressed as JPEG, which changes the numbers along every edge; draw or export it "
            f"anew and {_REMEDY}"
        )
    if meaning == PHOTOMETRIC.MINISWHITE and bits != 1:
        raise UserError(
            f"{path}: the label counts from white (WhiteIsZero), so that its numbers may be read in two ways; "
            "save it with black as zero (BlackIsZero)"
        )
