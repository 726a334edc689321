"""One reader for each family of formats: MONAI's, made stricter."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
from monai.data import ImageReader, ITKReader, NibabelReader, PILReader
from monai.data.utils import correct_nifti_header_if_necessary
from PIL import Image

from xssr_strategy.images.headers import (
    refuse_circle,
    refuse_odd_dimensions,
    refuse_short_packing,
    refuse_voxels_elsewhere,
)
from xssr_strategy.images.listing import image_extension
from xssr_strategy.images.refusal import Refused, refuse_affine, refuse_excess, refuse_spacing
from xssr_strategy.images.series import read_series, refuse_odd_slice
from xssr_strategy.images.tiff import decoded_tiff

NIFTI = (".nii.gz", ".nii")
_PIL = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_PIL_PLAIN_MODES = ("L", "RGB", "F", "I", "I;16", "I;16B", "I;16L", "I;16N")  # stored values survive np.asarray
_BLOCK = 1 << 20  # bytes
_TIME_SERIES = "has four or more dimensions; export a single volume of it"


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
        if path.is_dir():
            return read_series(path)
        header = _itk_header(path)
        if isinstance(header, itk.TIFFImageIO) and (decoded := decoded_tiff(path)) is not None:
            return decoded
        header.SetFileName(name)
        header.ReadImageInformation()
        dimensions = header.GetNumberOfDimensions()
        sizes = [header.GetDimensions(axis) for axis in range(dimensions)]
        if any(size > 1 for size in sizes[3:]):
            raise Refused(_TIME_SERIES)
        refuse_excess([*sizes, header.GetNumberOfComponents()])
        refuse_spacing([header.GetSpacing(axis) for axis in range(min(dimensions, 3))])
        if isinstance(header, itk.MetaImageIO):
            refuse_short_packing(path, math.prod([*sizes, header.GetNumberOfComponents(), header.GetComponentSize()]))
        if isinstance(header, itk.GDCMImageIO):
            refuse_odd_slice(path, header.GetMetaDataDictionary())
        kind = itk.Image if header.GetNumberOfComponents() == 1 else itk.VectorImage
        reader = itk.ImageFileReader[kind[itk.F, min(dimensions, 3)]].New(FileName=name, ImageIO=header)
        reader.Update()
        return reader.GetOutput()


def _itk_header(path: Path) -> Any:
    extension = image_extension(path)
    if extension in (".tif", ".tiff"):
        refuse_circle(path)
        return itk.TIFFImageIO.New()
    if extension == ".dcm":
        return itk.GDCMImageIO.New()
    refuse_voxels_elsewhere(path, extension)
    if extension == ".nrrd":
        return itk.NrrdImageIO.New()
    refuse_odd_dimensions(path)
    return itk.MetaImageIO.New()


class NiftiReader(NibabelReader):
    """NibabelReader that reads a packed file to its end, so that a wrong checksum shows, and refuses 4-D images."""

    def read(self, data: Any, **kwargs: Any) -> Any:
        (name,) = data
        self.filenames = (name,)
        header = nifti_header(name)
        if image_extension(Path(name)) != ".nii.gz":
            return correct_nifti_header_if_necessary(nib.load(name))
        with gzip.open(name) as file:
            image = type(header).from_stream(file)
            voxels = np.asanyarray(image.dataobj)
            file.read(_BLOCK)  # what follows the voxels, if anything; at the end the checksum is compared
        return correct_nifti_header_if_necessary(type(header)(voxels, image.affine, image.header))


def nifti_header(path: str | Path) -> Any:
    """A NIfTI image of which only the header was read, and found usable.

    Raises:
        Refused: a time series, colours, complex numbers, too large, or without spacing or affine.
    """
    image: Any = nib.load(path)
    kind = image.get_data_dtype()
    if any(count > 1 for count in image.shape[3:]):
        raise Refused(_TIME_SERIES)
    if kind.fields is not None:
        raise Refused("holds colours; export it in grey")
    if kind.kind == "c":
        raise Refused("holds complex numbers; export the magnitude")
    refuse_excess(image.shape)
    if not (image.header["qform_code"] or image.header["sform_code"]):
        refuse_spacing(_stored_spacing(path, image))
    refuse_affine(image.affine)
    return image


def _stored_spacing(path: str | Path, image: Any) -> list[float]:
    """As the file has it: nibabel mends what is zero or negative."""
    with gzip.open(path) if image_extension(Path(path)) == ".nii.gz" else open(path, "rb") as file:
        stored = type(image.header).from_fileobj(file, check=False)
    return [float(step) for step in stored["pixdim"][1 : 1 + min(len(image.shape), 3)]]


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


def _deep_bands(name: str) -> list[Image.Image]:
    """The bands of a PNG of 16-bit colours, or of 16-bit grey with alpha, without alpha; none of any other.

    Pillow has no mode for them and hands on the upper eight bits.
    """
    header = itk.PNGImageIO.New(FileName=name)
    header.ReadImageInformation()
    count = header.GetNumberOfComponents()
    if header.GetComponentSize() != 2 or count == 1:
        return []
    reader = itk.ImageFileReader[itk.VectorImage[itk.F, 2]].New(FileName=name, ImageIO=header)
    reader.Update()
    pixels = itk.array_from_image(reader.GetOutput()).astype(np.uint16)
    return [Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(3 if count > 2 else 1)]


def _plain_mode(image: Image.Image) -> Image.Image:
    """Palette, CMYK, alpha and 1-bit images as grey or RGB; 16- and 32-bit grey untouched (Pillow would clip it)."""
    if image.mode in _PIL_PLAIN_MODES:
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
