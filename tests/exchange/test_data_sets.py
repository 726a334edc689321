"""Labelled images as data sets of other tools: other programs read the same values at the same places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import load_decathlon_datalist
from PIL import Image

from tests.support.phantoms import ellipsoids, oblique, write_itk, write_nifti, write_png
from xssr_strategy.cli import main
from xssr_strategy.exchange.data_sets import folds_of
from xssr_strategy.simulation.domains import read_domain

FORMS = ("nnunet", "decathlon", "nifti")


def export(form: str, studies: Path, out: Path, *more: str) -> int:
    return main(["export", form, "--studies", str(studies), "--out", str(out), *more])


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Four: along the axes, oblique with a part that nobody looked at, NRRD, and of a patient that has another."""
    folder, rng = tmp_path / "mri", np.random.default_rng(0)
    for number in range(4):
        image, label = ellipsoids((14, 12, 10), 2, rng)
        if number == 1:
            label[:2] = 3
        affine = oblique((1.0, 2.0, 3.0)) if number else np.diag([2.0, 1.0, 1.5, 1.0])
        write, ending = (write_itk, "nrrd") if number == 2 else (write_nifti, "nii.gz")
        write(folder / "imagesTr" / f"scan {number}_0000.{ending}", np.rint(1000 * image).astype(np.float32), affine)
        write(folder / "labelsTr" / f"scan {number}.{ending}", label, affine)
    about = {"labels": {"background": 0, "liver": 1, "tumour": 2, "ignore": 3}}
    (folder / "dataset.json").write_text(json.dumps(about))
    (folder / "patients.csv").write_text("image,patient\nscan 0,Ann\nscan 3,Ann\n")
    return folder


def in_space(file: Path) -> dict[tuple[float, ...], float]:
    """Place in mm (LPS) -> value, as SimpleITK reads the file."""
    image = sitk.ReadImage(str(file))
    values = sitk.GetArrayFromImage(image)
    return {
        tuple(np.round(image.TransformIndexToPhysicalPoint((int(x), int(y), int(z))), 3) + 0.0): float(values[z, y, x])
        for z, y, x in np.ndindex(values.shape)
    }


@pytest.mark.parametrize("form", FORMS)
def test_image_and_label_are_where_they_were(form: str, volumes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export(form, volumes, out) == 0
    names = {"nnunet": ("imagesTr", "_0000", "labelsTr"), "decathlon": ("imagesTr", "", "labelsTr")}
    images, channel, labels = names.get(form, ("images", "", "labels"))
    for number in range(4):
        ending = "nrrd" if number == 2 else "nii.gz"
        written = (
            out / images / f"scan_{number}{channel}.nii.gz",
            out / labels / f"scan_{number}.nii.gz",
        )
        sources = (
            volumes / "imagesTr" / f"scan {number}_0000.{ending}",
            volumes / "labelsTr" / f"scan {number}.{ending}",
        )
        for ours, source in zip(written, sources, strict=True):
            assert in_space(ours) == in_space(source)
        one, other = (sitk.ReadImage(str(file)) for file in written)
        for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(one, what)() == getattr(other, what)()
        assert nib.load(written[0]).get_data_dtype() == np.int16  # whole numbers stay small
        assert nib.load(written[1]).get_data_dtype() == np.uint8


def test_nnunet_reads_the_names_and_no_patient_is_in_two_folds(volumes: Path, tmp_path: Path) -> None:
    out = tmp_path / "Dataset001_Liver"
    assert export("nnunet", volumes, out, "--modality", "CT") == 0
    about = json.loads((out / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "liver": 1, "tumour": 2, "ignore": 3}
    assert about["channel_names"] == {"0": "CT"}
    assert (about["numTraining"], about["file_ending"]) == (4, ".nii.gz")
    splits = json.loads((out / "splits_final.json").read_text())
    assert len(splits) == 3  # patients
    for split in splits:
        assert sorted(split["train"] + split["val"]) == [f"scan_{number}" for number in range(4)]
        assert len({"scan_0", "scan_3"} & set(split["val"])) in (0, 2)
    again, before = read_domain(out, "--target"), read_domain(volumes, "--target")
    assert again.label_names == before.label_names == ("liver", "tumour")
    assert list(again.images) == [name.replace(" ", "_") for name in before.images]


def test_monai_reads_the_lists_of_the_decathlon(volumes: Path, tmp_path: Path) -> None:
    (volumes / "test.txt").write_text("scan 1\n")
    out = tmp_path / "Task01_Liver"
    assert export("decathlon", volumes, out) == 0
    training = load_decathlon_datalist(str(out / "dataset.json"), True, "training")
    assert [Path(str(one["image"])).name for one in training] == ["scan_0.nii.gz", "scan_2.nii.gz", "scan_3.nii.gz"]
    assert all(Path(str(one[key])).exists() for one in training for key in ("image", "label"))
    assert training[0]["fold"] == training[2]["fold"] != training[1]["fold"]
    about = json.loads((out / "dataset.json").read_text())
    assert about["labels"] == {"0": "background", "1": "liver", "2": "tumour", "3": "ignore"}
    assert [one["image"] for one in about["test"]] == ["./imagesTs/scan_1.nii.gz"]
    assert read_domain(out, "--target").label_names == ("liver", "tumour")


def test_the_test_cases_stay_apart(volumes: Path, tmp_path: Path) -> None:
    (volumes / "test.txt").write_text("scan 1\n")
    assert export("nnunet", volumes, tmp_path / "a") == 0
    assert sorted(file.name for file in (tmp_path / "a" / "labelsTs").iterdir()) == ["scan_1.nii.gz"]
    assert read_domain(tmp_path / "a", "--target").test == {"scan_1"}
    assert export("nifti", volumes, tmp_path / "b") == 0
    again = read_domain(tmp_path / "b", "--target")
    assert again.test == {"scan_1"}
    assert again.patients["scan_0"] == again.patients["scan_3"]


@pytest.mark.parametrize("form", FORMS)
def test_pictures_stay_pictures(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)  # rows, columns
    for name in ("a", "b"):
        path = tmp_path / "eyes" / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colour).save(path)
        write_png(tmp_path / "eyes" / "labels" / f"{name}.png", 255 * (np.arange(600).reshape(30, 20) % 7 == 0))
    assert export(form, tmp_path / "eyes", tmp_path / "out", "--labels", "disc") == 0
    image, label = (sorted((tmp_path / "out").rglob(f"{part}*/a*.png"))[0] for part in ("image", "label"))
    np.testing.assert_array_equal(np.asarray(Image.open(image)), colour)
    drawn = np.asarray(Image.open(label))
    np.testing.assert_array_equal(drawn, (np.arange(600).reshape(30, 20) % 7 == 0).T)
    about = tmp_path / "out" / "dataset.json"
    if form == "nnunet":
        told = json.loads(about.read_text())
        assert told["channel_names"] == {"0": "R", "1": "G", "2": "B"}
        assert (told["file_ending"], told["labels"]) == (".png", {"background": 0, "disc": 1})


def test_values_of_16_bits_are_kept(tmp_path: Path) -> None:
    values = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    for part, array in (("images", values), ("labels", (values > 9000).astype(np.uint8))):
        (tmp_path / "x" / part).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "x" / part / "a.png")
    assert export("nnunet", tmp_path / "x", tmp_path / "out") == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "imagesTr" / "a_0000.png")), values)


def test_a_broken_case_is_left_out_by_name_and_nothing_else(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (volumes / "labelsTr" / "scan 2.nrrd").write_bytes(b"nothing")
    sheared = np.diag([1.0, 1.0, 1.0, 1.0])
    sheared[1, 2] = 0.4
    for part in ("imagesTr/scan 3_0000", "labelsTr/scan 3"):
        file = volumes / f"{part}.nii.gz"
        nib.save(nib.Nifti1Image(np.asarray(nib.load(file).dataobj), sheared), file)
    out = tmp_path / "out"
    assert export("nnunet", volumes, out) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 labelled images written to" in printed
    assert "scan 2.nrrd" in printed
    assert "axes are not at right angles (a tilted gantry)" in printed
    assert sorted(file.name for file in (out / "labelsTr").iterdir()) == ["scan_0.nii.gz", "scan_1.nii.gz"]
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: write_png(folder / "imagesTr" / "scan_0_0000.png", np.eye(9)) and write_png(
            folder / "labelsTr" / "scan_0.png", np.eye(9)), "would both be called scan_0; rename one"),
        (lambda folder: write_png(folder / "imagesTr" / "z_0000.png", np.eye(9)) and write_png(
            folder / "labelsTr" / "z.png", np.eye(9)), "z: has 1 channels as .png, the cases before 1 as .nii.gz"),
        (lambda folder: [file.write_bytes(b"") for file in (folder / "labelsTr").iterdir()], "nothing can be exported"),
    ],
)  # fmt: skip
def test_what_cannot_be_one_data_set_is_told_in_a_sentence(
    change: Any, why: str, volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(volumes)
    assert export("nnunet", volumes, tmp_path / "out") == 2
    assert why in " ".join(capsys.readouterr().out.split())


def test_nothing_is_mixed_with_what_is_there(volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("nnunet", volumes, volumes / "out") == 2
    assert "lies in --studies" in capsys.readouterr().out
    assert export("nnunet", volumes, tmp_path / "out") == 0
    assert export("nifti", volumes, tmp_path / "out") == 2
    assert "holds imagesTr already; name a new folder" in " ".join(capsys.readouterr().out.split())
    assert export("nnunet", Path("http://127.0.0.1:1/dicom-web"), tmp_path / "new") == 2
    assert "name a folder" in capsys.readouterr().out


def test_folds_are_by_patient_and_none_for_one() -> None:
    patients = {f"i{number}": f"p{number // 3}" for number in range(30)}
    folds = folds_of(list(patients), patients)
    assert len(folds) == 5
    assert sorted(image for fold in folds for image in fold) == sorted(patients)
    owners = [{patients[image] for image in fold} for fold in folds]
    assert sum(len(one) for one in owners) == 10
    assert folds_of(["a", "b"], {"a": "Ann", "b": "Ann"}) == []


def test_the_labels_of_a_studies_folder_are_called_as_asked_for(tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    image, label = ellipsoids((12, 10, 8), 2, np.random.default_rng(3))
    write_nifti(studies / "a.nii.gz", image.astype(np.float32), np.eye(4))
    write_nifti(studies / "labels" / "final" / "a.nii.gz", label, np.eye(4))
    assert export("nnunet", studies, tmp_path / "out", "--labels", "liver,tumour") == 0
    written = np.asarray(nib.load(tmp_path / "out" / "labelsTr" / "a.nii.gz").dataobj)
    np.testing.assert_array_equal(written, label)
    with (tmp_path / "out" / "dataset.json").open() as file:
        assert list(json.load(file)["labels"]) == ["background", "liver", "tumour"]
