"""Image files for the tests: written with the field's own libraries, small, with known values."""

from __future__ import annotations

import os
from pathlib import Path

import itk
import numpy as np
import pytest

SHARED = Path(__file__).parents[2] / "../shared/data"


def shared_data(name: str) -> Path:
    """A folder of the shared data; without it the test is skipped, but on CI (CI=true) it fails."""
    path = SHARED / name
    if not path.exists():
        message = f"shared data {name} is not beside the repository"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def ramp(shape: tuple[int, ...], dtype: type = np.uint8, step: int = 1) -> np.ndarray:
    """Distinct values (as far as the type allows), so that a wrong axis order shows."""
    return (np.arange(np.prod(shape)) * step).reshape(shape).astype(dtype)


def write_itk(
    path: Path,
    array: np.ndarray,
    spacing: tuple[float, ...] | None = None,
    rgb: bool = False,
    tags: dict[str, str] | None = None,
) -> Path:
    """Write ``array`` (X, Y[, Z][, channel last]) with ITK; ``tags`` are DICOM tags such as "0028|0004"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spatial = array.ndim - 1 if rgb else array.ndim
    axes = [*reversed(range(spatial)), *range(spatial, array.ndim)]
    image = itk.image_from_array(np.ascontiguousarray(array.transpose(axes)), is_vector=rgb)
    if rgb:
        kind = itk.RGBPixel[itk.UC] if array.dtype == np.uint8 else itk.RGBPixel[itk.US]
        image = itk.image_from_array(np.ascontiguousarray(array.transpose(axes)), ttype=(itk.Image[kind, spatial],))
    if spacing is not None:
        image.SetSpacing(spacing)
    writer = itk.ImageFileWriter[type(image)].New(Input=image, FileName=str(path))
    if tags is not None:
        dictionary = itk.MetaDataDictionary()
        for tag, value in tags.items():
            dictionary[tag] = value
        image.SetMetaDataDictionary(dictionary)
        writer.SetImageIO(itk.GDCMImageIO.New(KeepOriginalUID=True))
    writer.Update()
    return path


def write_dicom(path: Path, array: np.ndarray | None = None, **tags: str) -> Path:
    """Write one DICOM slice with pixels of 0.5 x 0.25 mm; keyword ``t0008_0060="DX"`` sets that tag."""
    pixels = ramp((6, 5), np.int16) if array is None else array
    named = {name[1:].replace("_", "|"): value for name, value in tags.items()}
    return write_itk(path, pixels, (0.5, 0.25), tags=named)


def write_dicom_of(path: Path, patient: str) -> Path:
    """Write one DICOM slice of a patient, by its PatientID."""
    return write_dicom(path, t0010_0020=patient)


def write_series(folder: Path, volume: np.ndarray, spacing: tuple[float, ...], series: str = "1.2.3.4") -> Path:
    """Write (X, Y, Z) as one DICOM file for each slice, the file names in reverse order of position."""
    for z in range(volume.shape[2]):
        tags = {
            "0008|0060": "MR",
            "0020|000d": "1.2.3",
            "0020|000e": series,
            "0008|0018": f"{series}.{z + 1}",
            "0020|0013": str(z + 1),
            "0020|0032": f"0\\0\\{z * spacing[2]}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": str(spacing[2]),
        }
        path = folder / f"{volume.shape[2] - z:03}"
        write_itk(path.with_suffix(".dcm"), volume[:, :, z], spacing[:2], tags=tags).rename(path)
    return folder
