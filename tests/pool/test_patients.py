"""Which patients a pool has, and what a worklist says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.pool.patients import patients_of, places_of_patients
from xssr_strategy.pool.studies import Studies


def studies(*images: str) -> Studies:
    return Studies("pool", {image: Path("/pool") / f"{image}.nii.gz" for image in images}, {})


def test_a_table_names_them_and_the_others_are_of_their_own(tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_bytes("\ufeffimage,patient\r\na.nii.gz,Müller\r\n/x/b.nii.gz,Müller\r\n\r\nout,Weber\r\n".encode())
    assert patients_of(studies("a", "b", "c", "out"), ["a", "b", "c"], table) == {
        "a": "Müller",
        "b": "Müller",
        "c": "c",
    }


def test_names_of_bids_without_a_table() -> None:
    pool = ["sub-1_T1w", "sub-1_T2w", "sub-2_T1w", "phantom"]
    assert list(patients_of(studies(*pool), pool, None).values()) == ["sub-1", "sub-1", "sub-2", "phantom"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,patient\nghost,A\n", "line 2: 'ghost' is none of the 2 images"),
        ("image,patient\na,A\nb,A\n", "all 2 images are of one patient, 'A'; name a CSV file"),
        ("image,patient\na,\n", "line 2: no patient for a"),
        ("image,patient\na,A\na,B\n", "line 3: a has a line before"),
        ("image,name\na,A\n", "the first line has no columns image and patient"),
        ("image,patient\n", "nothing says of whom an image is"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "patients.csv").write_text(text)
    with pytest.raises(UserError, match=f"--patients .*{words}"):
        patients_of(studies("a", "b"), ["a", "b"], tmp_path / "patients.csv")


def test_files_that_say_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="--per-patient: nothing says of whom an image is; name a CSV file"):
        patients_of(studies("a", "b"), ["a", "b"], None)
    with pytest.raises(UserError, match="--per-patient: all 2 images are of one patient, 'sub-1'"):
        patients_of(studies("sub-1_a", "sub-1_b"), ["sub-1_a", "sub-1_b"], None)


def test_the_how_manieth_image_of_its_patient() -> None:
    patients = {"a": "A", "b": "A", "c": "A", "d": "A", "e": "B"}
    assert places_of_patients(["e", "b", "c", "d"], {"a"}, patients) == {
        "e": "the first image of its patient",
        "b": "the second image of its patient, as every patient has one",
        "c": "the third image of its patient, as every patient has one",
        "d": "the 4th image of its patient, as every patient has one",
    }
