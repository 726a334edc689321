"""The version of the reading, and which images are read otherwise since: what was made of those is made again.

That is done once for each image: whatever is made of it is kept with the version under which it is right. An image of
which an older version is noted has its header looked at, which takes less than 3 ms (of a series, for each slice). Only
where it is one of those that are read otherwise is it embedded or scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from xssr_strategy.images.headers import refuse_circle
from xssr_strategy.images.listing import image_extension, is_dicom
from xssr_strategy.images.multiframe import has_frames
from xssr_strategy.images.nifti import NIFTI, is_placed_alike
from xssr_strategy.images.readers import has_deep_bands
from xssr_strategy.images.stored_values import has_odd_bits, is_no_image, is_scrambled
from xssr_strategy.images.tiff import is_read_by_itk

READING = 2
"""Raise it when a change of the reading alters the values or the geometry of any image, or refuses one that was read.

Add to ``_CHANGES`` which images these are, by their headers: one too many costs a reading, one too few a wrong result
that nobody sees.
"""

_DRIFT = 0.005  # our choice, in pixels: half of what the reading takes for a tilt
_OF_SLICES = [
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("ImageType", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "SOPClassUID"),
]


def last_change(path: Path) -> int:
    """The version of the reading since which an image is read as it is now, by its header; 1 for most.

    Of one whose header cannot be read, the present version.
    """
    extension = "" if path.is_dir() else image_extension(path)
    for version, kinds in sorted(_CHANGES.items(), reverse=True):
        if extension in kinds and _applies(kinds[extension], path):
            return version
    return 1


def kept_as(state: str) -> str:
    """What is kept beside something that is made of an image now.

    Args:
        state: of the file (:func:`xssr_strategy.images.listing.fingerprint`).

    >>> kept_as("1-4096-1700000000000000000") == f"1-4096-1700000000000000000 r{READING}"
    True
    """
    return f"{state} r{READING}"


def parse_kept(kept: str) -> tuple[str, int]:
    """State of the file and version of the reading; the first version noted the state alone.

    >>> parse_kept("1-4096-1700000000000000000 r2"), parse_kept("1-4096-1700000000000000000")
    (('1-4096-1700000000000000000', 2), ('1-4096-1700000000000000000', 1))
    """
    state, _, version = kept.partition(" r")
    return state, int(version or 1)


def _applies(is_changed: Callable[[Path], bool], path: Path) -> bool:
    try:
        return is_changed(path)
    except Exception:  # whatever a library makes of a damaged file, it is read again and refused by its sentence
        return True


def _is_deep_png(path: Path) -> bool:
    """Colours, or grey with alpha, of 16 bits lost eight of them."""
    return has_deep_bands(path)


def _is_odd_tiff(path: Path) -> bool:
    """ITK made eight bits of all that it does not read itself."""
    refuse_circle(path)
    return not is_read_by_itk(path)


def _is_odd_nifti(path: Path) -> bool:
    """Images whose forms, codes, units or sizes of voxels contradict each other lay where nibabel puts them."""
    return not is_placed_alike(path)


def _is_odd_dicom(path: Path) -> bool:
    return _is_odd_slice(path, _header(path))


def _header(path: Path) -> Dataset:
    return dcmread(path, stop_before_pixels=True, force=True, specific_tags=_OF_SLICES)


def _is_odd_slice(path: Path, header: Dataset) -> bool:
    """Several frames, odd bits, mosaics, colours that are scrambled or called by a wrong name, and what is no image."""
    syntax = getattr(header, "file_meta", Dataset()).get("TransferSyntaxUID")
    coloured = syntax == JPEGBaseline8Bit and header.get("PhotometricInterpretation") == "RGB"
    if coloured or is_scrambled(header) or is_no_image(header):
        return True
    return "MOSAIC" in (header.get("ImageType") or ()) or has_frames(path) or has_odd_bits(path)


def _is_odd_series(folder: Path) -> bool:
    """The same, slices that drift sideways (a tilted gantry), and a single file, which has been checked less."""
    files = [entry for entry in folder.iterdir() if is_dicom(entry)]
    headers = [_header(file) for file in files]
    if len(files) < 2 or any(map(_is_odd_slice, files, headers)):
        return True
    places = np.array([[float(number) for number in one.ImagePositionPatient] for one in headers])
    rows, columns = np.reshape([float(number) for number in headers[0].ImageOrientationPatient], (2, 3))
    normal = np.cross(rows, columns)
    sideways = places - np.outer(places @ normal, normal) / (normal @ normal)
    pixel = min(float(number) for number in headers[0].get("PixelSpacing") or (1.0,))
    return bool(np.linalg.norm(np.ptp(sideways, axis=0)) > _DRIFT * pixel)


_CHANGES: Mapping[int, Mapping[str, Callable[[Path], bool]]] = {
    2: {
        ".png": _is_deep_png,
        **dict.fromkeys((".tif", ".tiff"), _is_odd_tiff),
        **dict.fromkeys(NIFTI, _is_odd_nifti),
        ".dcm": _is_odd_dicom,
        "": _is_odd_series,
    },
}
"""Version -> ending (none for a folder) -> whether a header is one of an image that the version reads otherwise."""
