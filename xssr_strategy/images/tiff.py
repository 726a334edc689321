"""TIFF files of the kinds that ITK reads wrongly or not at all.

ITK reads 8, 16 and 32 bits in strips. Of tiles, planes, mirrored rows and few bits it makes a picture of 8 bits, and it
takes WhiteIsZero, half precision, alpha beside grey and pages of several kinds for what they are not. The meanings of
the tags are those of the TIFF 6.0 specification.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import itk
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, RESUNIT, SAMPLEFORMAT, TIFF

from xssr_strategy.images.refusal import Refused, refuse_excess, refuse_spacing

tifffile.logger().setLevel(logging.CRITICAL)  # it would log what tags hold, which may tell of patients

_FLIPS: Mapping[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda rows: rows,
    2: np.fliplr,
    3: lambda rows: np.flipud(np.fliplr(rows)),
    4: np.flipud,
}
"""TIFF's orientation -> what puts the first row on top and the first column on the left."""

_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
_KNOWN = (*_GREY, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE)
_CONVERTED = {PHOTOMETRIC.SEPARATED, PHOTOMETRIC.YCBCR, PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB, PHOTOMETRIC.ITULAB}
_LOSSLESS = {
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
    COMPRESSION.LZMA,
}
_FAX = {COMPRESSION.CCITTRLE, COMPRESSION.CCITTFAX3, COMPRESSION.CCITTFAX4}
_OF_ITK = (_LOSSLESS - {COMPRESSION.LZMA}) | _FAX | {COMPRESSION.JPEG}  # what its libtiff unpacks
_OF_PILLOW = {("u", 12), ("u", 16), ("i", 16), ("i", 32), ("f", 32)}  # kind and bits that Pillow keeps
_ALPHA = ((EXTRASAMPLE.ASSOCALPHA,), (EXTRASAMPLE.UNASSALPHA,))
_MM = {RESUNIT.INCH: 25.4, RESUNIT.CENTIMETER: 10.0}
_ALONG_A_VOLUME = "ZQIYXS"  # tifffile's letters: depth, two for pages without a meaning, rows, columns, colours


def decoded_tiff(path: Path) -> Any:
    """A TIFF file as an ITK image of float32, or None if ITK's own reader has it right.

    Values are those that are stored: of 1, 2 and 4 bits too, which count from 0. WhiteIsZero is inverted within its
    depth, a palette becomes its 16-bit colours, and alpha beside grey is dropped. Spacing is what ITK makes of the
    resolution.

    Raises:
        Refused: of a kind that is not read; the sentence names it.
        tifffile.TiffFileError, ValueError, OSError: damaged.
    """
    with tifffile.TiffFile(path, _multifile=False) as file:
        pages = _pages(file)
        if all(map(_itk_reads, pages)):
            return None
        values = _values(path, pages)
    plane = values[0] if len(pages) == 1 else values
    image = itk.image_from_array(np.ascontiguousarray(plane), is_vector=values.ndim == 4)
    image.SetSpacing([*_spacing(pages[0]), 1.0][: image.GetImageDimension()])
    return image


def is_read_by_itk(path: Path) -> bool:
    """Whether ITK's own reader has a file right, by its header.

    Raises:
        Refused, tifffile.TiffFileError, ValueError, OSError: as :func:`decoded_tiff`.
    """
    with tifffile.TiffFile(path, _multifile=False) as file:
        return all(map(_itk_reads, _pages(file)))


def _pages(file: Any) -> list[Any]:
    """The pages that are a picture or a volume, one or more; what is not read is refused."""
    pages = [page for page in file.pages if not (page.is_reduced or page.is_mask)]
    if not pages:
        raise Refused("is damaged: it holds no picture of full size; export it again")
    _refuse_kind(pages[0])
    _refuse_mixture(file, pages)
    refuse_excess([*pages[0].shape, len(pages)])
    return pages


def photometric(page: Any) -> int:
    """What the numbers of a page mean; of a page that does not say, what libtiff takes them for."""
    said = page.tags.valueof("PhotometricInterpretation")
    if said is not None:
        return int(said)
    if page.samplesperpixel >= 3:
        return PHOTOMETRIC.RGB
    return PHOTOMETRIC.MINISWHITE if page.compression in _FAX else PHOTOMETRIC.MINISBLACK


def _refuse_mixture(file: Any, pages: Sequence[Any]) -> None:
    """Refuse pages that are no slices of one volume."""
    kinds = {(page.shape, page.dtype, page.bitspersample, photometric(page), _orientation(page)) for page in pages}
    if len(kinds) > 1:
        raise Refused(f"holds {len(pages)} pictures of several sizes or kinds; save each as a file of its own")
    series = file.series[0]
    sizes = dict(zip(series.axes, series.shape, strict=True))
    for axis, name in (("T", "time points"), ("C", "channels")):
        if sizes.pop(axis, 1) > 1:
            raise Refused(f"holds several {name} as pages; export a single picture or volume of it")
    if any(count > 1 for axis, count in sizes.items() if axis not in _ALONG_A_VOLUME):
        raise Refused("has pages along other axes than depth; export a single picture or volume of it")
    if math.prod(sizes.get(axis, 1) for axis in "ZQI") > len(pages):  # ImageJ does so above 4 GiB
        raise Refused("keeps several slices behind one page; save it as NIfTI or NRRD")


def _refuse_kind(page: Any) -> None:
    """Refuse what no reader here gives back as it is stored."""
    meaning = photometric(page)
    if page.sampleformat in (SAMPLEFORMAT.COMPLEXINT, SAMPLEFORMAT.COMPLEXIEEEFP):
        raise Refused("holds complex numbers; export the magnitude")
    if page.imagedepth > 1:
        raise Refused("keeps a volume in one page; save each slice as a page, or the volume as NIfTI or NRRD")
    if _orientation(page) not in _FLIPS:
        raise Refused(
            f"is stored with rows and columns exchanged (TIFF orientation {_orientation(page)}), which viewers show in "
            "different ways; save it upright"
        )
    if meaning not in _KNOWN and meaning not in _CONVERTED:
        raise Refused(
            f"holds colours of a kind that is not read (photometric interpretation {meaning}); save it as RGB"
        )
    if meaning in _CONVERTED and page.bitspersample != 8:
        raise Refused(f"holds {page.bitspersample}-bit colours that are not RGB; save it as RGB")
    if meaning == PHOTOMETRIC.MINISWHITE and (page.dtype is None or page.dtype.kind not in "ub" or _bits(page) > 16):
        raise Refused(
            f"counts from white in {page.bitspersample}-bit numbers; save it with black as zero (BlackIsZero)"
        )


def _itk_reads(page: Any) -> bool:
    """Whether ITK hands on the stored values."""
    kind = page.dtype.kind if page.dtype is not None else ""
    plain = not page.is_tiled and page.planarconfig == 1 and _orientation(page) in (1, 4)
    known = page.tags.valueof("PhotometricInterpretation") is not None and not (kind == "f" and _bits(page) != 32)
    meaning = photometric(page)
    if meaning == PHOTOMETRIC.PALETTE:
        colours = page.samplesperpixel == 1 and _bits(page) in (8, 16)
    elif meaning == PHOTOMETRIC.MINISBLACK:
        colours = page.samplesperpixel == 1
    else:
        colours = meaning == PHOTOMETRIC.RGB
    unpacked = page.compression in _OF_ITK
    return bool(plain and known and colours and unpacked and kind in ("u", "i", "f") and _bits(page) in (8, 16, 32))


def _values(path: Path, pages: Sequence[Any]) -> NDArray[np.float32]:
    """(pages, rows, columns), or (pages, rows, columns, channels), upright."""
    meaning = photometric(pages[0])
    if meaning in _KNOWN and all(_tifffile_reads(page) for page in pages):
        return np.stack([_stored(page) for page in pages])
    if meaning in _GREY and pages[0].samplesperpixel == 1 and _kind(pages[0]) in _OF_PILLOW:
        return _by_pillow(path, pages)
    samples = 4 if meaning == PHOTOMETRIC.SEPARATED else 1 if meaning in (*_GREY, PHOTOMETRIC.PALETTE) else 3
    few = _kind(pages[0]) in {("u", 8), ("u", 4), ("u", 2), ("u", 1), ("b", 1)}
    if few and pages[0].samplesperpixel == samples and pages[0].compression in _OF_ITK:
        shown = _as_shown(path, len(pages))
        return shown[..., 0] / (255 // (2 ** _bits(pages[0]) - 1)) if meaning in _GREY else shown[..., :3]
    raise _not_read(pages[0])


def _tifffile_reads(page: Any) -> bool:
    """Whether tifffile has all that decodes a page; some is in a package that is not ours."""
    unpacked = page.compression in _LOSSLESS and page.compression in TIFF.DECOMPRESSORS
    return bool(
        unpacked
        and page.predictor in TIFF.UNPREDICTORS
        and page.dtype is not None
        and _bits(page) in (1, 8, 16, 32, 64)
    )


def _stored(page: Any) -> NDArray[np.float32]:
    """The (rows, columns) or (rows, columns, channels) of a page, upright."""
    size = page.parent.filehandle.size
    places = zip(page.dataoffsets, page.databytecounts, strict=True)
    if not all(count and offset + count <= size for offset, count in places):
        raise Refused("is damaged: it holds fewer pixels than its header says; export it again")
    values = page.asarray()
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        values = np.moveaxis(values, 0, -1)
    if photometric(page) != PHOTOMETRIC.RGB and page.extrasamples in _ALPHA:
        values = values[..., 0]
    if photometric(page) == PHOTOMETRIC.PALETTE:
        values = np.moveaxis(page.colormap[:, values], 0, -1)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        values = values.astype(np.float32)
    return _FLIPS[_orientation(page)](_from_black(values, page))


def _from_black(values: NDArray[np.float32], page: Any) -> NDArray[np.float32]:
    """WhiteIsZero inverted within its depth."""
    if photometric(page) != PHOTOMETRIC.MINISWHITE:
        return values
    return np.float32(2 ** _bits(page) - 1) - values


def _by_pillow(path: Path, pages: Sequence[Any]) -> NDArray[np.float32]:
    """Grey of more than 8 bits with what libtiff unpacks; Pillow turns it upright."""
    planes = []
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            for page in pages:
                image.seek(page.index)
                planes.append(_from_black(np.asarray(image, dtype=np.float32), page))
    except UnidentifiedImageError as error:
        raise _not_read(pages[0]) from error
    return np.stack(planes)


def _as_shown(path: Path, count: int) -> NDArray[np.float32]:
    """(pages, rows, columns, 4), upright: libtiff's RGBA of 8 bits, from black, in which 8 bits lose nothing."""
    image = itk.VectorImage[itk.F, 3 if count > 1 else 2]
    reader = itk.ImageFileReader[image].New(FileName=str(path), ImageIO=itk.TIFFImageIO.New())
    reader.Update()
    shown: NDArray[np.float32] = itk.array_from_image(reader.GetOutput())
    return shown if count > 1 else shown[np.newaxis]


def _not_read(page: Any) -> Refused:
    try:
        packing = COMPRESSION(page.compression).name
    except ValueError:
        packing = str(page.compression)
    return Refused(
        f"holds {page.bitspersample}-bit numbers, compression {packing}, in a form that is not read; "
        "save it without compression in 8, 16 or 32 bits"
    )


def _orientation(page: Any) -> int:
    return int(page.tags.valueof("Orientation", 1))


def _bits(page: Any) -> int:
    return int(page.bitspersample) if isinstance(page.bitspersample, int) else 0


def _kind(page: Any) -> tuple[str, int]:
    return page.dtype.kind if page.dtype is not None else "", _bits(page)


def _spacing(page: Any) -> list[float]:
    """(column, row) in mm, as ITK has it: 1 without a resolution in inches or centimetres."""
    step = _MM.get(page.resolutionunit)
    if step is None or not {"XResolution", "YResolution"} <= {tag.name for tag in page.tags}:
        return [1.0, 1.0]
    spacing = [step / resolution if resolution else 0.0 for resolution in page.resolution]
    refuse_spacing(spacing)
    return spacing
