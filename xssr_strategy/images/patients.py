"""Of whom an image is, by what its file says: DICOM's PatientID, or BIDS' ``sub-`` in its name or folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def patients_by_image(images: Mapping[str, Path], told: Mapping[str, str]) -> dict[str, str]:
    """image -> a name for its patient, in the order of ``images``; what is told goes before what the files say.

    Images whose files name one patient have one name: what is told of the first of them, or else that image's own id.
    So no PatientID stands in it, and an image that is the only one of its patient is called as one of which nothing is
    known.

    Args:
        images: id -> file or folder of a series.
        told: image -> patient, as a table says.

    >>> paths = {name: Path(f"{name}.nii.gz") for name in ("sub-1_a", "sub-1_b", "sub-2_a", "scan")}
    >>> list(patients_by_image(paths, {}).values())
    ['sub-1_a', 'sub-1_a', 'sub-2_a', 'scan']
    """
    found = {image: patient_of(image, path) for image, path in images.items()}
    names: dict[str, str] = {}
    for image in (*sorted(told), *sorted(images.keys() - told.keys())):
        if (patient := found[image]) is not None:
            names.setdefault(patient, told.get(image, image))
    own = {image: image if patient is None else names[patient] for image, patient in found.items()}
    return {**own, **told}


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
