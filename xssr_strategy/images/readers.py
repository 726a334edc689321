"""One reader for each family of formats: MONAI's, made stricter."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import itk
import numpy as np
from monai.data import ImageReader, ITKReader, NibabelReader, PILReader
from PIL import Image

from xssr_strategy.images.headers import (
    PNG_GREY,
    png_kind,
    refuse_bzip2,
    refuse_circle,
    refuse_odd_dimensions,
    refuse_short_packing,
    refuse_voxels_elsewhere,
)
from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.multiframe import has_frames, read_frames
from xssr_strategy.images.nifti import FROM_OTHER, NIFTI, TIME_SERIES, nifti_header
from xssr_strategy.images.refusal import Refused, refuse_excess, refuse_spacing
from xssr_strategy.images.series import FRAMES, from_square, read_series, refuse_odd_slice, series_files
from xssr_strategy.images.stored_values import has_odd_bits, mend_colours, read_as_shown, refuse_no_image
from xssr_strategy.images.tiff import decoded_tiff

_PIL = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_PIL_PLAIN_MODES = ("L", "RGB", "F", "I", "I;16", "I;16B", "I;16L", "I;16N")  # stored values survive np.asarray
_GREY_OR_PALETTE = (PNG_GREY, 3)  # kinds of colour in the header of a PNG
_BLOCK = 1 << 20  # bytes


def reader_of(path: Path) -> ImageReader:
    """The reader for a file, by its name, or for a folder."""
    extension = image_extension(path)
    if path.is_dir():
        return VolumeReader()
    if extension in NIFTI:
        return NiftiReader()
    if extension in _PIL:
        return PictureReader(converter=_plain_mode)
    return VolumeReader()


class VolumeReader(ITKReader):
    """ITKReader that reads every pixel type as float and refuses 4-D images and mixed series.

    ``itk.imread`` would hand on a time axis as channels, fail on pixel types that the ITK package does not wrap
    (8-bit vectors), and try every format that it knows on a file, whatever its name.
    """

    def read(self, data: Any, **kwargs: Any) -> Any:
        (name,) = data
        path = Path(name)
        self._is_series = path.is_dir()
        if self._is_series:
            files = series_files(path)
            refuse_no_image(files[0])
            return read_frames(files) if any(map(has_frames, files)) else read_as_shown(files, read_series)
        header = _itk_header(path)
        if isinstance(header, itk.GDCMImageIO):
            refuse_no_image(path)
        if isinstance(header, itk.TIFFImageIO) and (decoded := decoded_tiff(path)) is not None:
            return decoded
        header.SetFileName(name)
        header.ReadImageInformation()
        dimensions = header.GetNumberOfDimensions()
        sizes = [header.GetDimensions(axis) for axis in range(dimensions)]
        if any(size > 1 for size in sizes[3:]):
            raise Refused(TIME_SERIES)
        refuse_excess([*sizes, header.GetNumberOfComponents()])
        if isinstance(header, itk.GDCMImageIO):
            if header.GetMetaDataDictionary().HasKey(FRAMES) and has_frames(path):
                return read_frames([path])
            refuse_odd_slice(path, header.GetMetaDataDictionary())
            if has_odd_bits(path):
                return read_as_shown([path], lambda copies: self.read(list(map(str, copies))))
        refuse_spacing([header.GetSpacing(axis) for axis in range(min(dimensions, 3))])
        if isinstance(header, itk.MetaImageIO):
            refuse_short_packing(path, math.prod([*sizes, header.GetNumberOfComponents(), header.GetComponentSize()]))
        kind = itk.Image if header.GetNumberOfComponents() == 1 else itk.VectorImage
        reader = itk.ImageFileReader[kind[itk.F, min(dimensions, 3)]].New(FileName=name, ImageIO=header)
        reader.Update()
        if isinstance(header, itk.GDCMImageIO) and header.GetNumberOfComponents() == 3:
            mend_colours(itk.array_view_from_image(reader.GetOutput()), path)
        return reader.GetOutput()

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        array, meta = super().get_data(img)
        moved = from_square(meta["affine"]) if self._is_series else None
        return array, meta if moved is None else {**meta, FROM_OTHER: moved}


def _itk_header(path: Path) -> Any:
    extension = image_extension(path)
    if extension in (".tif", ".tiff"):
        refuse_circle(path)
        return itk.TIFFImageIO.New()
    if extension == ".dcm":
        return itk.GDCMImageIO.New()
    refuse_voxels_elsewhere(path, extension)
    if extension == ".nrrd":
        refuse_bzip2(path)
        return itk.NrrdImageIO.New()
    refuse_odd_dimensions(path)
    return itk.MetaImageIO.New()


class NiftiReader(NibabelReader):
    """NibabelReader that reads a packed file to its end, so that a wrong checksum shows, and refuses 4-D images.

    The affine is ITK's, where the two libraries differ.
    """

    def read(self, data: Any, **kwargs: Any) -> Any:
        (name,) = data
        self.filenames = (name,)
        header = nifti_header(name)
        if image_extension(Path(name)) != ".nii.gz":
            return header
        with gzip.open(name) as file:
            voxels = np.asanyarray(type(header).from_stream(file).dataobj)
            file.read(_BLOCK)  # what follows the voxels, if anything; at the end the checksum is compared
        return type(header)(voxels, header.affine, header.header, header.extra)

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        array, meta = super().get_data(img)
        return array, {**meta, **{key: value for key, value in img.extra.items() if key == FROM_OTHER}}


class PictureReader(PILReader):
    """PILReader for files that are of the format of their name and hold one picture."""

    def read(self, data: Any, **kwargs: Any) -> Any:
        (name,) = data
        kind = _PIL[image_extension(Path(name))]
        try:
            image = Image.open(name, formats=[kind])
        except Image.DecompressionBombError as error:
            raise Refused("claims to have too many pixels; downsample it or remove it from the folder") from error
        with image:
            refuse_excess([*image.size, len(image.getbands())])
            frames = getattr(image, "n_frames", 1)
            if kind == "PNG" and frames > 1:  # a JPEG file may carry previews, which nobody shows
                raise Refused(f"holds {frames} pictures, of which viewers show one; save them as files of their own")
            plain = _plain_mode(image)
            plain.load()
        return _deep_bands(name) or plain if kind == "PNG" else plain


def has_deep_bands(path: Path) -> bool:
    """Whether a PNG holds colours of 16 bits, or grey of 16 bits with alpha."""
    depth, colours = png_kind(path)
    return depth == 16 and colours not in _GREY_OR_PALETTE


def _deep_bands(name: str) -> list[Image.Image]:
    """The bands of a PNG of 16-bit colours, or of 16-bit grey with alpha, without alpha; none of any other.

    Pillow has no mode for them and hands on the upper eight bits. ITK takes time and memory to load, and is asked for
    these alone.
    """
    if not has_deep_bands(Path(name)):
        return []
    header = itk.PNGImageIO.New(FileName=name)
    header.ReadImageInformation()
    count = header.GetNumberOfComponents()
    reader = itk.ImageFileReader[itk.VectorImage[itk.F, 2]].New(FileName=name, ImageIO=header)
    reader.Update()
    pixels = itk.array_from_image(reader.GetOutput()).astype(np.uint16)
    return [Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(3 if count > 2 else 1)]


def _plain_mode(image: Image.Image) -> Image.Image:
    """Palette, CMYK, alpha and 1-bit images as grey or RGB; 16- and 32-bit grey untouched (Pillow would clip it)."""
    if image.mode in _PIL_PLAIN_MODES:
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
