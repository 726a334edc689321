"""All broken and odd images, by kind: ``FLAT`` for the preset xray, ``DEEP`` for mri."""

from __future__ import annotations

from tests.support.odd_dicom import FILES, SERIES
from tests.support.odd_pictures import NAMES, NO_IMAGES, PICTURES
from tests.support.odd_volumes import META, NIFTI, NRRD

FLAT = {"pictures": PICTURES, "names": NAMES, "no images": NO_IMAGES, "DICOM files": FILES}
DEEP = {"NIfTI": NIFTI, "NRRD": NRRD, "MetaImage": META, "DICOM series": SERIES}
