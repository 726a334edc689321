"""Of whom an image is, by what its file says: DICOM's PatientID, or BIDS' ``sub-`` in its name or folders."""

from __future__ import annotations

import re
from pathlib import Path

import itk

from xssr_strategy.images.listing import is_dicom

_PATIENT_ID = "0010|0020"
_BIDS = re.compile(r"(?:^|[/_])(sub-[0-9A-Za-z]+)(?=[/_.]|$)")
"""Entity ``sub-<label>`` of the Brain Imaging Data Structure (Gorgolewski et al. 2016, doi 10.1038/sdata.2016.44)."""


def patient_of(image: str, path: Path) -> str | None:
    """The patient of an image, or None if its file does not say.

    Args:
        image: id, in which a ``sub-`` counts.
        path: file, or folder of a DICOM series, whose first file counts.
    """
    bids = _BIDS.search(image)
    return _patient_id(path) or (bids.group(1) if bids else None)


def _patient_id(path: Path) -> str | None:
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.suffix.lower() == ".dcm" else []
    file = next((one for one in files if is_dicom(one)), None)
    if file is None:
        return None
    header = itk.GDCMImageIO.New(FileName=str(file))
    try:
        header.ReadImageInformation()
    except RuntimeError:  # damaged, which its reading tells
        return None
    tags = header.GetMetaDataDictionary()
    return tags[_PATIENT_ID].strip(" \0") or None if tags.HasKey(_PATIENT_ID) else None
