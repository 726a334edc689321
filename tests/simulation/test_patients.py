"""No patient is in both the pool and the test cases, also where files alone say of whom an image is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from tests.support.folders import put
from tests.support.hospitals import experiment, hospital, simulate
from tests.support.image_files import write_dicom
from xssr_strategy.errors import UserError
from xssr_strategy.simulation.domains import Domain, held_out, read_domain
from xssr_strategy.simulation.results import read_experiment_info, read_results


def sessions(root: Path, patients: int = 5) -> Path:
    """Three sessions of each of some BIDS subjects."""
    for patient in range(patients):
        for session in range(3):
            for part in ("images", "labels"):
                put(root / part / f"sub-0{patient}_ses-{session}.png")
    return root


def dicom(root: Path, patients: dict[str, str]) -> Path:
    """DICOM files with these PatientIDs, as pydicom writes them, and labels."""
    for name, patient in patients.items():
        file = write_dicom(root / "images" / f"{name}.dcm")
        dataset = pydicom.dcmread(file)
        dataset.PatientID = patient
        dataset.save_as(file)
        put(root / "labels" / f"{name}.png")
    return root


def shared(domain: Domain) -> set[str]:
    """Subjects, by the names of the files alone, that are on both sides."""
    sides = [{image.split("_")[0] for image in images} for images in (domain.pool, domain.test)]
    return sides[0] & sides[1]


def test_subjects_of_bids_are_held_out_whole(tmp_path: Path) -> None:
    domain = read_domain(sessions(tmp_path), "--target")
    for seed in range(5):
        drawn = held_out(domain, seed=seed)
        assert (len(drawn.test), shared(drawn)) == (3, set())


@pytest.mark.slow
def test_patients_of_dicom_files_are_held_out_whole(tmp_path: Path) -> None:
    ids = {"a": "P 1", "b": "P2", "c": "P 1", "d": "P3", "e": "", "f": ""}
    domain = read_domain(dicom(tmp_path, ids), "--target")
    assert domain.patients == {"a": "a", "b": "b", "c": "a", "d": "d", "e": "e", "f": "f"}  # no PatientID in it
    for seed in range(6):
        drawn = held_out(domain, seed=seed)
        assert ("a" in drawn.test) == ("c" in drawn.test)
    (tmp_path / "test.txt").write_text("a\n")
    with pytest.raises(
        UserError, match=r"the test case a and, in the pool, c are of one patient by their files"
    ) as told:
        read_domain(tmp_path, "--target")
    assert "P 1" not in str(told.value)
    assert str(tmp_path / "patients.csv") in str(told.value)
    (tmp_path / "patients.csv").write_bytes("\ufeffimage,patient\r\na.dcm,Ann\r\nc,Cy\r\n".encode())
    assert read_domain(tmp_path, "--target").test == {"a"}  # the table goes first


def test_the_table_goes_first_and_the_files_tell_the_rest(tmp_path: Path) -> None:
    sessions(tmp_path, patients=2)
    (tmp_path / "patients.csv").write_text("image,patient\nsub-00_ses-1,Ann\n")
    assert read_domain(tmp_path, "--target").patients == {
        "sub-00_ses-0": "Ann",
        "sub-00_ses-1": "Ann",
        "sub-00_ses-2": "Ann",
        **{f"sub-01_ses-{session}": "sub-01_ses-0" for session in range(3)},
    }


@pytest.mark.slow
def test_one_image_of_each_patient_is_as_if_nobody_were_named(tmp_path: Path) -> None:
    """Results of earlier versions stay."""
    named = {letter: f"ID{number}" for number, letter in enumerate("abcdefghij")}
    with_ids = read_domain(dicom(tmp_path / "with", named), "--target")
    without = read_domain(dicom(tmp_path / "without", dict.fromkeys(named, "")), "--target")
    assert with_ids.patients == without.patients == {image: image for image in named}
    assert held_out(with_ids).test == held_out(without).test


def test_a_single_patient_cannot_be_on_both_sides(tmp_path: Path) -> None:
    domain = read_domain(dicom(tmp_path, dict.fromkeys("abc", "ANON")), "--target")
    with pytest.raises(
        UserError, match=r"all 3 images are of one patient, .*; say in .*patients.csv \(image,patient\)"
    ):
        held_out(domain)


def test_a_simulation_without_the_patients_is_not_gone_on_with(tmp_path: Path) -> None:
    root = hospital(tmp_path / "set", 1, count=10)
    for part in ("images", "labels"):
        for number, file in enumerate(sorted((root / part).iterdir())):
            file.rename(file.with_name(f"sub-{number // 2}_ses-{number % 2}.png"))
    now = held_out(read_domain(root, "--target"))
    alone = "\n".join(f"{image},{number}" for number, image in enumerate(now.images))
    (root / "patients.csv").write_text(f"image,patient\n{alone}\n")  # as before files were asked: all by themselves
    before = held_out(read_domain(root, "--target"), fraction=0.3)
    assert shared(before)
    assert not shared(now)
    what = experiment(root, strategies=("xssr",), seeds=1, draws=1)
    out = tmp_path / "out"
    simulate(replace(what, target=before, test=before), out)
    with pytest.raises(UserError, match="holds results of other settings"):
        simulate(replace(what, target=now, test=now), out)
    simulate(replace(what, target=now, test=now), tmp_path / "new")
    (result,) = read_results(tmp_path / "new")
    assert not {one.split("_")[0] for one in result.picks} & {one.split("_")[0] for one in result.cases}
    assert len(set(read_experiment_info(tmp_path / "new").patients.values())) == 1
