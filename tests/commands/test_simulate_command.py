"""``xssr simulate``: one sentence for every mistake."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.hospitals import hospital
from tests.support.phantoms import write_nifti
from xssr_strategy.cli import main
from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.simulation.results import read_experiment_info


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hospital(tmp_path_factory.mktemp("hospitals") / "new", seed=2, test=2, count=6)


def simulate(target: Path, out: Path, *more: str) -> int:
    """``xssr simulate``; what trains an encoder trains it for two steps."""
    short = ["--encoder-steps", "1", "--steps", "2", "--seeds", "1", "--draws", "1"]
    return main(["simulate", "--target", str(target), "--out", str(out), *short, *more])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategies", "xssr,corset"], "--strategies corset: no such strategy (did you mean coreset?)"),
        (["--strategies", "xssr,,random"], "--strategies : no such strategy; choose among "),
        (["--strategies", "source-only"], "--strategies source-only: needs the labels of a source"),
        (["--budget", "many"], "--budget many: must be a number of images"),
        (["--budget", "0"], "--budget 0: must be a number of images"),
        (["--budget", "3,"], "--budget 3,: must be a number of images"),
        (["--budget", "5,7"], "--budget 7: the pool has only 6 "),
        (["--preset", "mri", "--size", "64"], "--size 64: preset mri is 3-D, whose size follows the images"),
        (["--preset", "xray", "--spacing", "2"], "--spacing 2: preset xray is 2-D; choose --size."),
        (["--preset", "photo"], "preset 'photo' does not exist; use one of xray"),
        (["--encoder", "resnet"], "--encoder resnet: must be one of conv_mae"),
        (["--encoder", "torchscript:x.ts"], "--encoder torchscript:x.ts: must be torchscript:FILE with a file that"),
        (["--encoder", "dinov2", "--encoders", "2"], "--encoders 2: dinov2 is not trained, so that there is only one"),
        (["--preset", "xray", "--encoder-size", "80"], "--encoder-size 80: must be a multiple of 32, from 64."),
        (["--preset", "mri", "--encoder-size", "16"], "--encoder-size 16: must be a multiple of 16, from 32."),
        (["--preset", "xray", "--encoder", "dinov2", "--encoder-size", "64"], "dinov2 always sees the same size"),
        (["--preset", "xray", "--encoder", "poly_cl", "--encoder-size", "64"], "poly_cl always sees the same size"),
        (["--encoder-slices", "x"], "--encoder-slices x: must be a whole number from 1 to 64"),
        (["--labels", "lung,lung"], "--labels lung,lung: must be"),
        (["--target", "/no/such"], "--target /no/such: does not exist; name a folder"),
        (["--source", "/no/such"], "--source /no/such: does not exist; name a folder"),
        (["--test", "/no/such"], "--test /no/such: does not exist; name a folder"),
        (["--out", "FILE"], "FILE: cannot be written (File exists); name another folder."),
        (["--out", "FILE/out"], "FILE/out: cannot be written (Not a directory); name another folder."),
        (["--out", "/proc/out"], "--out /proc/out: cannot be written (No such file or directory)"),
        (["--workspace", "FILE"], "FILE: cannot be written (File exists); name another folder."),
    ],
)
def test_mistakes_get_one_sentence(
    target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    file = tmp_path / "FILE"
    file.touch()
    words = [str(tmp_path / word) if word.startswith("FILE") else word for word in arguments]
    assert simulate(target, tmp_path / "out", *words) == 2
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    assert line.startswith("xssr: ")
    assert message in line
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--slurm", "4"],
            "argument --slurm: job arrays are no longer written; run the trainings on a Ray cluster with --ray",
        ),
        (
            ["--part", "1/4"],
            "argument --part: job arrays are no longer written; run the trainings on a Ray cluster with --ray",
        ),
        (["--size", "100"], "argument --size: 100: must be a multiple of"),
        (["--size", "16"], "argument --size: 16: must be a multiple of 16, from 32"),
        (["--size", "-32"], "argument --size: -32: must be a multiple of"),
        (["--spacing", "0"], "argument --spacing: 0: must be a number of mm above 0"),
        (["--spacing", "nan"], "argument --spacing: nan: must be a number of mm above 0"),
        (["--seeds", "0"], "argument --seeds: 0: must be a whole number from 1"),
        (["--jobs", "2.5"], "argument --jobs: 2.5: must be a whole number from 1"),
        (["--strat", "random"], "unrecognized arguments: --strat random"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        simulate(target, tmp_path / "out", *arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


def test_a_picked_image_without_a_label_is_named_and_the_status_says_that_a_job_failed(
    target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = Path(shutil.copytree(target, tmp_path / "damaged"))
    (damaged / "labels" / "scan03.png").unlink()
    assert simulate(damaged, tmp_path / "out", "--strategies", "full") == 1
    printed = capsys.readouterr().out
    assert "images of the pool without a label: 1 (scan03); a job that picks one fails." in printed
    assert "full-6-d0-s0 could not be run: " in printed
    assert "the image scan03 has no label" in printed
    assert "Traceback" not in printed


def test_results_do_not_become_images_of_the_source(
    target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(shutil.copytree(target / "images", tmp_path / "scans"))
    assert simulate(target, source / "results", "--source", str(source)) == 2
    assert (
        "lies in --source, whose subfolders count as images of it; name a folder elsewhere." in capsys.readouterr().out
    )
    assert not (source / "results").exists()


@pytest.mark.slow
def test_paths_are_those_of_whoever_typed_them(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(shutil.copytree(target, "new"))
    assert simulate(Path("new"), Path("out"), "--strategies", "random", "--budget", "3") == 0
    facts = read_experiment_info(tmp_path / "out")
    assert {Path(path).parent for path in facts.images.values()} == {tmp_path / "new" / "images"}
    assert str(tmp_path / "out" / "report.html") in capsys.readouterr().out.replace("\n", "")


def test_an_encoder_is_trained_on_images_of_the_side_that_is_asked_for(target: Path, tmp_path: Path) -> None:
    sizes = ["--encoder-size", "64", "--size", "32", "--budget", "2", "--strategies", "xssr"]
    assert simulate(target, tmp_path, *sizes) == 0
    assert read_experiment_info(tmp_path).settings["preset"]["encoder_size"] == 64
    (file,) = tmp_path.glob("embedding/*/model/encoder-*.safetensors")
    encoder = load_encoder(file)
    assert encoder.preset.encoder_size == 64
    assert simulate(target, tmp_path, *sizes[2:]) == 2  # vectors of another encoder are not mixed in


def test_3_d_images_take_no_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        for kind in ("images", "labels"):
            path = tmp_path / "new" / kind / f"scan{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, np.ones((8, 8, 8), dtype=np.uint8), np.eye(4))
    (tmp_path / "new" / "test.txt").write_text("scan4")
    assert simulate(tmp_path / "new", tmp_path / "out", "--size", "64") == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert "--size 64: preset mri is 3-D" in line
