"""``xssr select``: the worklist as a CSV file, the same whenever and however the files are listed."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from tests.support.foundations import timm_weights
from tests.support.pools import write
from xssr_strategy.cli import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def select(studies: Path, out: Path, *more: str) -> tuple[int, list[dict[str, str]]]:
    status = main(["select", "--studies", str(studies), "--out", str(out), "--encoder-steps", "1", *more])
    if status:
        return status, []
    with out.open(encoding="utf-8") as file:
        return status, list(csv.DictReader(file))


def test_picks_and_calibration(tmp_path, capsys) -> None:
    studies, source = write(tmp_path / "studies", 30, 1), write(tmp_path / "source", 8, 2)
    exclude = tmp_path / "test.txt"
    exclude.write_text("i00\ni01.png\n\ni02\n")
    arguments = ("--source", str(source), "--exclude", str(exclude), "--budget", "20%")
    status, rows = select(studies, tmp_path / "picks.csv", *arguments, "--plot", str(tmp_path / "picks.png"))
    printed = capsys.readouterr().out
    assert (tmp_path / "picks.png").read_bytes().startswith(b"\x89PNG")
    assert "5 of 27 images cover the pool to a mean distance of" in printed
    assert status == 0
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 6)]  # floor(0.2 * 27)
    names = [row["image"] for row in rows]
    assert len(set(names)) == 5
    assert not {"i00", "i01", "i02"} & set(names)
    assert all(Path(row["path"]).exists() and row["reason"].startswith("Pick ") for row in rows)
    assert "27 images in the pool" in printed
    assert "Calibration of alpha at 5 picks" in printed
    assert printed.count("<- chosen") == 1

    assert select(studies, tmp_path / "again.csv", *arguments)[1] == rows
    assert "0 images embedded now, 27 found embedded" in capsys.readouterr().out
    assert not (studies / ".xssr").exists()


def test_a_foundation_encoder_picks_without_training(tmp_path, capsys) -> None:
    studies, weights = write(tmp_path / "studies", 8, 1), timm_weights(tmp_path / "vit.pth", "test_vit")
    arguments = ("--budget", "3", "--encoder", "timm:test_vit", "--encoder-weights", str(weights))
    status, rows = select(studies, tmp_path / "picks.csv", *arguments)
    assert (status, len(rows)) == (0, 3)
    assert "8 images embedded now" in capsys.readouterr().out
    assert select(studies, tmp_path / "picks.csv", *arguments)[1] == rows
    assert "0 images embedded now" in capsys.readouterr().out


@pytest.mark.slow
def test_the_order_in_which_files_are_listed_does_not_matter(tmp_path) -> None:
    studies, source = write(tmp_path / "a" / "studies", 12, 1), write(tmp_path / "source", 8, 2)
    shuffled = tmp_path / "b" / "studies"
    shuffled.mkdir(parents=True)
    for path in sorted(studies.iterdir(), reverse=True):
        shutil.copy2(path, shuffled)
    one, other = (
        [row["image"] for row in select(folder, tmp_path / "picks.csv", "--source", str(source), "--budget", "6")[1]]
        for folder in (studies, shuffled)
    )
    assert one == other


def test_labelled_images_are_not_picked_again(tmp_path, capsys) -> None:
    studies = write(tmp_path / "studies", 6, 1)
    write(studies / "labels" / "final", 4, 3)
    _, rows = select(studies, tmp_path / "picks.csv", "--budget", "2")
    assert {row["image"] for row in rows} == {"i04", "i05"}
    printed = capsys.readouterr().out
    assert "4 labelled" in printed
    assert "Novelty is off" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "31"], "--budget 31: the pool has only 3 images"),
        (["--budget", "0"], "--budget 0: must be a number of images"),
        (["--alpha", "x"], "--alpha x: must be auto"),
        (["--encoder", "none"], "--encoder none: must be one of"),
        (["--encoder", "radimagenet"], "encoder radimagenet: needs the file ResNet50.pt of RadImageNet"),
        (["--encoder-weights", __file__], "--encoder-weights: encoder conv_mae is trained here; leave it out"),
        (["--encoder", "radimagenet", "--encoder-weights", __file__], "is damaged or no file of PyTorch weights"),
        (["--source", "/no/such"], "--source /no/such: must be a folder that exists"),
        (["--exclude", "/no/such.txt"], "--exclude /no/such.txt: cannot be read as text"),
        (["--preset", "mri"], "none of the 3 images can be read"),
        (["--out", "/no/such/folder/picks.csv"], "its folder does not exist"),
        (["--plot", "/no/such/folder/picks.png"], "--plot /no/such/folder/picks.png: its folder does not exist"),
        (["--plot", "picks.xyz"], "--plot picks.xyz: no picture has that ending"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path, capsys, arguments, message) -> None:
    studies = write(tmp_path / "studies", 3, 1)
    status, _ = select(studies, tmp_path / "picks.csv", *arguments)
    printed = capsys.readouterr().out
    assert status == 2
    assert message in printed
    assert "Traceback" not in printed


def test_an_exclusion_that_names_no_image_is_refused(tmp_path, capsys) -> None:
    studies, exclude = write(tmp_path / "studies", 3, 1), tmp_path / "test.txt"
    exclude.write_text("other_1\nother_2\n")
    assert select(studies, tmp_path / "picks.csv", "--exclude", str(exclude))[0] == 2
    assert "not one of its 2 lines names an image" in capsys.readouterr().out


def test_missing_and_empty_folders(tmp_path, capsys) -> None:
    assert select(tmp_path / "missing", tmp_path / "picks.csv")[0] == 2
    (tmp_path / "empty").mkdir()
    assert select(tmp_path / "empty", tmp_path / "picks.csv")[0] == 2
    assert "no image is there; put images" in capsys.readouterr().out


def test_no_second_image_of_a_patient_before_every_patient_has_one(tmp_path, capsys) -> None:
    studies, table = write(tmp_path / "studies", 12, 1), tmp_path / "patients.csv"
    write(studies / "labels" / "final", 1, 3)  # i00 is labelled
    patients = {f"i{number:02}": f"P{number % 4}" for number in range(12)}
    table.write_text("image,patient\n" + "".join(f"{image}.png,{patient}\n" for image, patient in patients.items()))
    more = ("--patients", str(table), "--per-patient", "--budget", "4", "--worklist", str(tmp_path / "next.csv"))
    status, rows = select(studies, tmp_path / "picks.csv", *more)
    assert status == 0
    assert "12 images in the pool, 1 labelled, 4 patients" in capsys.readouterr().out
    assert {patients[row["image"]] for row in rows[:3]} == {"P1", "P2", "P3"}
    assert all(row["reason"].endswith(" and the first image of its patient.") for row in rows[:3])
    assert rows[3]["reason"].endswith("the second image of its patient, as every patient has one.")
    with (tmp_path / "next.csv").open(encoding="utf-8") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == [row["reason"] for row in rows]
    assert select(studies, tmp_path / "picks.csv", "--patients", str(table))[0] == 2
    assert "is read for --per-patient and --encoder poly_cl alone; add one of them" in capsys.readouterr().out
    assert select(studies, tmp_path / "picks.csv", "--per-patient")[0] == 2
    assert "--per-patient: nothing says of whom an image is" in capsys.readouterr().out
