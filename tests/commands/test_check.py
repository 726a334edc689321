"""``xssr check``: labels in the order in which people are to look at them."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from tests.support.commands import rows, run
from tests.support.judged import PLAN, discs, publish_judged
from tests.support.phantoms import phantom_pairs
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.mask_autoencoding import WithMaskQuality
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.segmentation.training import train
from xssr_strategy.simulation.thumbnails import label_colours

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def published(
    file: Path, pairs: Sequence[Mapping[str, str]], preset: Preset, names: tuple[str, ...], steps: int, **plan: Any
) -> Path:
    """The model file of a network that has learnt some pairs, with what judges its masks."""
    usable, _ = usable_pairs(pairs, preset, names)
    planned = replace(plan_from(usable, preset, names), **plan)
    method = WithMaskQuality(Supervised(steps))
    network = train(method, TrainingData(preset, usable), planned, 0, CPU)
    assert method.autoencoder is not None
    publish(network.state_dict(), planned, file, method.autoencoder.state_dict())
    return file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a network that has learnt discs."""
    folder = tmp_path_factory.mktemp("discs")
    discs(folder, 6)
    pairs = [
        {"image": str(path), "label": str(folder / "labels" / path.name)} for path in (folder / "images").iterdir()
    ]
    return published(folder / "discs.pt", pairs, PRESETS["xray"], ("disc",), 60, roi=(64, 64))


@pytest.mark.slow
def test_a_label_that_was_drawn_on_the_wrong_image_is_found(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    discs(tmp_path, 12)
    labels = tmp_path / "labels"
    first, second = labels / "disc04.png", labels / "disc09.png"
    first.rename(tmp_path / "kept.png")
    second.rename(first)
    (tmp_path / "kept.png").rename(second)
    (labels / "disc02.png").write_bytes(b"no label")
    for named in (tmp_path, labels):
        status, printed = run(capsys, "check", named, "--trained", trained, "--out", tmp_path / "check.csv")
        assert status == 1
        assert "11 labels checked, 1 that cannot be read." in printed
        assert "disc02.png" in printed
        found = rows(tmp_path / "check.csv")
        assert {found[0]["image"], found[1]["image"]} == {"disc04", "disc09"}
        assert float(found[1]["agreement"]) < 0.8 < float(found[2]["agreement"])
    assert (tmp_path / "check.html").read_text(encoding="utf-8").count("<img src=") == 11


@pytest.mark.slow
def test_a_volume_whose_two_labels_were_swapped_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = phantom_pairs(tmp_path / "made", 8, 3, 2)
    model = published(tmp_path / "model.pt", made[:3], PRESETS["mri"], ("a", "b"), 80)
    for pair, part in itertools.product(made[3:], ("image", "label")):
        (tmp_path / "set" / f"{part}s").mkdir(parents=True, exist_ok=True)
        Path(pair[part]).rename(tmp_path / "set" / f"{part}s" / Path(pair[part]).name)
    swapped = tmp_path / "set" / "labels" / "5.nii.gz"
    label = nibabel.load(swapped)
    numbers = np.asarray(label.dataobj)
    nibabel.save(nibabel.Nifti1Image(np.where(numbers > 0, 3 - numbers, 0).astype(np.uint8), label.affine), swapped)
    check = ("check", tmp_path / "set", "--trained", model, "--out", tmp_path / "check.csv")
    _, printed = run(capsys, *check)
    assert "5 labels checked" in printed, printed
    found = rows(tmp_path / "check.csv")
    assert found[0]["image"] == "5"
    assert float(found[0]["agreement"]) < 0.3 < 0.6 < float(found[1]["agreement"])
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert all(f'background: {colour}"></span> {name}' in page for name, colour in label_colours(["a", "b"]).items())


def decathlon(folder: Path, names: list[str]) -> None:
    """Two labelled phantoms in ``set``, whose dataset.json gives the labels these names."""
    phantom_pairs(folder / "made", 2, 2, len(names))
    for part in ("imagesTr", "labelsTr"):
        (folder / "set" / part).mkdir(parents=True)
    for number in range(2):
        shutil.copy(folder / "made" / f"{number}.png", folder / "set" / "imagesTr" / f"case{number}.png")
        shutil.copy(folder / "made" / "labels" / f"{number}.png", folder / "set" / "labelsTr" / f"case{number}.png")
    pairs = [{"image": f"imagesTr/case{n}.png", "label": f"labelsTr/case{n}.png"} for n in range(2)]
    numbers = {str(number): name for number, name in enumerate(["background", *names])}
    (folder / "set" / "dataset.json").write_text(json.dumps({"labels": numbers, "training": pairs}))


@pytest.mark.parametrize("said", [["posterior", "anterior"], ["liver", "spleen"]])
def test_labels_whose_numbers_mean_something_else_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: list[str]
) -> None:
    decathlon(tmp_path, said)
    publish_judged(tmp_path / "model.pt", 1, plan=replace(PLAN, labels=("anterior", "posterior")))
    status, printed = run(
        capsys, "check", tmp_path / "set", "--trained", tmp_path / "model.pt", "--out", tmp_path / "check.csv"
    )
    assert status == 2
    assert f"are {','.join(said)}, but those of the training are anterior,posterior" in printed


@pytest.mark.parametrize(
    ("trained", "sentence"),
    [
        ("nothing.pt", "nothing.pt: does not exist"),
        (".", "no network is trained there"),
        ("bad.pt", "cannot be read"),
        ("old.pt", "the network has nothing to judge masks by; train again"),
        ("check.csv", "check.csv: is the file of --trained, too; name another."),
    ],
)
def test_a_check_without_a_network_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trained: str, sentence: str
) -> None:
    discs(tmp_path / "some", 2)
    for name in ("bad.pt", "check.csv"):
        (tmp_path / name).write_bytes(b"no model")
    publish_judged(tmp_path / "old.pt", 1, judged=False)
    status, printed = run(
        capsys, "check", tmp_path / "some", "--trained", tmp_path / trained, "--out", tmp_path / "check.csv"
    )
    assert status == 2
    assert sentence in printed


@pytest.mark.parametrize("said", [["tumour"], ["liver", "tumour"]])
def test_labels_of_another_name_than_the_networks_only_one_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: list[str]
) -> None:
    decathlon(tmp_path, said)
    publish_judged(tmp_path / "model.pt", 1)
    _, printed = run(
        capsys, "check", tmp_path / "set", "--trained", tmp_path / "model.pt", "--out", tmp_path / "check.csv"
    )
    assert f"The label is called {', '.join(said)} in LABELS and foreground in --trained: they are compared" in printed


def test_labels_that_the_network_may_have_learnt_from_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    discs(tmp_path, 2)
    publish_judged(Workspace(tmp_path / ".xssr").segmentation, 1)
    for labels in (tmp_path, tmp_path / "labels"):
        status, printed = run(capsys, "check", labels, "--trained", tmp_path, "--out", tmp_path / "check.csv")
        assert (status, "The network may have learnt from these labels" in printed) == (0, True)
    discs(tmp_path / "others", 2)
    _, printed = run(capsys, "check", tmp_path / "others", "--trained", tmp_path, "--out", tmp_path / "check.csv")
    assert "may have learnt" not in printed
    assert rows(tmp_path / "check.csv")[0]["agreements"].startswith("foreground=")


def test_an_image_too_large_for_the_memory_is_told_and_the_others_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    discs(tmp_path, 3)
    publish_judged(tmp_path / "model.pt", 1)
    judge = "xssr_strategy.segmentation.mask_quality.MaskAutoencoder.quality_of_mask"
    answers = iter([MemoryError(), None, None])

    def quality_of_mask(*_: object) -> torch.Tensor:
        if error := next(answers):
            raise error
        return torch.tensor([0.5])

    monkeypatch.setattr(judge, quality_of_mask)
    drawn = "xssr_strategy.commands.judged_model.JudgedModel.picture"
    monkeypatch.setattr(drawn, lambda *_: (_ for _ in ()).throw(MemoryError()))
    check = ("check", tmp_path, "--trained", tmp_path / "model.pt", "--out", tmp_path / "check.csv")
    status, printed = run(capsys, *check)
    assert status == 1
    assert "disc00.png: does not fit into memory" in printed
    assert len(rows(tmp_path / "check.csv")) == 2
