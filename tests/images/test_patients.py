"""Of whom an image is: what DICOM and BIDS say, compared with pydicom."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from tests.support.image_files import write_dicom_of
from xssr_strategy.images.patients import patient_of


def test_the_patient_of_a_dicom_file_and_of_a_series(tmp_path: Path) -> None:
    single = write_dicom_of(tmp_path / "a.dcm", "A 17^x")
    assert patient_of("a", single) == pydicom.dcmread(single).PatientID == "A 17^x"
    write_dicom_of(tmp_path / "series" / "1.dcm", "P2")
    (tmp_path / "series" / ".hidden").touch()
    (tmp_path / "series" / "DICOMDIR").touch()
    assert patient_of("sub-01", tmp_path / "series") == "P2"  # the file knows better than its name
    assert patient_of("sub-01", write_dicom_of(tmp_path / "empty.dcm", "")) == "sub-01"
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(20))
    assert patient_of("broken", tmp_path / "broken.dcm") is None


@pytest.mark.parametrize(
    ("image", "patient"),
    [
        ("sub-01_ses-1_T1w", "sub-01"),
        ("sub-01/anat/sub-01_T1w", "sub-01"),
        ("study_sub-B7_bold", "sub-B7"),
        ("sub-01", "sub-01"),
        ("subject-01", None),
        ("thesub-01", None),
        ("sub-", None),
        ("scan01", None),
    ],
)
def test_bids_names_the_subject(image: str, patient: str | None) -> None:
    assert patient_of(image, Path(f"/pool/{image}.nii.gz")) == patient
