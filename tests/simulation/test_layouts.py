"""Four layouts of images and labels, told apart by what is in the folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.folders import (
    DECATHLON,
    LABELS,
    LAYOUTS,
    NAMES,
    FolderLayout,
    decathlon,
    folders,
    nnunet,
    put,
    refused,
    studies,
)
from xssr_strategy.simulation.domains import read_domain


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("labelled", [True, False])
def test_a_layout(tmp_path: Path, layout: FolderLayout, labelled: bool) -> None:
    root = layout(tmp_path / "Hospital B")
    domain = read_domain(root, "--target", labelled)
    ending = ".png" if layout is folders else ".nii.gz"
    images = "images" if layout is folders else "." if layout is studies else "imagesTr"
    channel = "_0000" if layout is nnunet else ""
    assert domain.name == "Hospital B"
    assert domain.root == root
    assert list(domain.images.items()) == [(name, root / images / f"{name}{channel}{ending}") for name in NAMES]
    assert list(domain.labels.items()) == [(name, root / LABELS[layout] / f"{name}{ending}") for name in NAMES]
    assert domain.pool == NAMES
    assert domain.test == frozenset()
    assert domain.label_names == (("Anterior", "Posterior") if layout in (decathlon, nnunet) else ())
    assert domain.sites == dict.fromkeys(NAMES, "Hospital B")
    assert all(path.is_file() for path in (*domain.images.values(), *domain.labels.values()))


def test_a_picture_beside_images_and_labels_is_no_image_of_the_set(tmp_path: Path) -> None:
    root = folders(tmp_path / "set")
    put(root / "overview.png")
    assert tuple(read_domain(root, "--target").images) == NAMES
    assert tuple(read_domain(root, "--source", labelled=False).images) == NAMES


@pytest.mark.parametrize(
    ("layout", "twin"),
    [
        (folders, "images/b.JPG"),
        (folders, "labels/b.JPG"),
        (studies, "b.png"),
        (studies, "labels/final/b.png"),
        (nnunet, "imagesTr/b_0000.nrrd"),
        (nnunet, "labelsTr/b.nrrd"),
    ],
)
def test_two_files_with_one_id(tmp_path: Path, layout: FolderLayout, twin: str) -> None:
    root = layout(tmp_path / "set")
    put(root / twin)
    text = refused(root, "has the same id b")
    assert len(set(re.findall(r"b(?:_0000)?\.[\w.]+\w", text))) == 2  # both are named


def test_two_files_with_one_id_in_a_plain_folder(tmp_path: Path) -> None:
    put(tmp_path / "set" / "deep" / "x.png", tmp_path / "set" / "deep" / "x.nrrd", tmp_path / "set" / "x.png")
    refused(tmp_path / "set", "x.nrrd has the same id x", labelled=False)


def entry(image: str, label: str = "./labelsTr/a.nii.gz") -> dict[str, str]:
    return {"image": image, "label": label}


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({}, ('"training" lists no image',)),
        ([], ('"training" lists no image',)),
        ([entry("imagesTr/._a.nii.gz")], ('"training" lists no image',)),
        ([entry("imagesTr/a.nii.gz"), entry("imagesTr/gone.nii.gz")], ("entry 2", "gone.nii.gz")),
        ([entry("imagesTr")], ("entry 1", "is no image")),
        ([entry("dataset.json")], ("entry 1", "is no image")),
        ([entry("../set/imagesTr/a.nii.gz")], ("entry 1", "leads out")),
        ([entry("imagesTr/a.nii.gz", "../../secret.nii.gz")], ("entry 1", "leads out", "secret")),
        ([entry("/etc/passwd")], ("entry 1", "leads out")),
        ([entry("imagesTr/a.nii.gz"), entry("imagesTs/a.nii.gz")], ("same id a", "imagesTr/a", "imagesTs/a")),
        ([{"image": "imagesTr/a.nii.gz"}], ("entry 1", '"label"')),
        ([{"image": ["imagesTr/a.nii.gz"], "label": "labelsTr/a.nii.gz"}], ("entry 1", '"image"')),
        (["imagesTr/a.nii.gz"], ("entry 1", '"image"')),
    ],
)
def test_a_decathlon_list_that_cannot_be_used(tmp_path: Path, training: Any, words: tuple[str, ...]) -> None:
    root = decathlon(tmp_path / "set", training=training)
    put(root / "imagesTs" / "a.nii.gz")
    refused(root, str(root / "dataset.json"), *words)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("text", ["{", "[]", '"training"'])
def test_a_broken_dataset_json(tmp_path: Path, layout: FolderLayout, text: str) -> None:
    root = layout(tmp_path / "set")
    (root / "dataset.json").write_text(text)
    refused(root, f"{root / 'dataset.json'}: is no JSON")


@pytest.mark.parametrize("layout", [decathlon, nnunet])
@pytest.mark.parametrize(
    "labels",
    [
        ["background", "Anterior"],
        {"background": 0, "whole": [1, 2], "core": 2},
        {"background": 0, "Anterior": 1, "Posterior": 3},
        {"0": "background", "2": "Anterior"},
        {"background": 0, "Anterior": 1, "Posterior": 1},
    ],
)
def test_label_names_without_numbers(tmp_path: Path, layout: Callable[..., Path], labels: Any) -> None:
    refused(layout(tmp_path / "set", labels=labels), "dataset.json", '"labels"')


def test_label_names_of_a_dataset_that_is_not_told(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "set")
    (root / "dataset.json").write_text("{}")
    assert read_domain(root, "--target").label_names == ()
    (root / "dataset.json").unlink()
    assert read_domain(root, "--target").pool == NAMES


def test_a_decathlon_of_the_first_nnunet(tmp_path: Path) -> None:
    """Its dataset.json lists images without _0000, which are not there under that name."""
    root = nnunet(tmp_path / "first")
    about = decathlon(tmp_path / "other", modality={"0": "MRI"}) / "dataset.json"
    shutil.copy(about, root)
    domain = read_domain(root, "--target")
    assert domain.pool == NAMES
    assert domain.images["a"] == root / "imagesTr" / "a_0000.nii.gz"
    assert domain.label_names == ("Anterior", "Posterior")


def test_a_decathlon_whose_names_end_in_four_digits(tmp_path: Path) -> None:
    root = tmp_path / "set"
    names = ("case_0000", "case_0001")
    put(*(root / kind / f"{name}.nii.gz" for name in names for kind in ("imagesTr", "labelsTr")))
    training = [entry(f"imagesTr/{name}.nii.gz", f"labelsTr/{name}.nii.gz") for name in names]
    (root / "dataset.json").write_text(json.dumps({**DECATHLON, "training": training}))
    assert read_domain(root, "--target").pool == names


def test_a_decathlon_whose_folders_have_other_names(tmp_path: Path) -> None:
    root = decathlon(tmp_path / "set", training=[entry("scans/a.nii.gz", "masks/b.nii.gz")])
    (root / "imagesTr").rename(root / "scans")
    (root / "labelsTr").rename(root / "masks")
    assert read_domain(root, "--target").labels == {"a": root / "masks" / "b.nii.gz"}


def test_a_second_nnunet_is_told_by_its_file_ending(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "set", training=[])
    put(root / "imagesTr" / "c_0001.nii.gz")
    refused(root, "c_0001.nii.gz", "only single-channel images can be used")


def test_several_channels_are_refused(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "files")
    put(root / "imagesTr" / "c_0001.nii.gz")
    refused(root, "c_0001.nii.gz", "only single-channel images can be used")
    channels = {"0": "FLAIR", "1": "T1w"}
    refused(nnunet(tmp_path / "json", channel_names=channels), "only single-channel images can be used")
    refused(decathlon(tmp_path / "msd", modality=channels), "only single-channel images can be used")


def test_nnunet_images_have_a_channel(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "set")
    put(root / "imagesTr" / "f.nii.gz")
    refused(root, "f.nii.gz", "CASE_0000")


def test_nnunet_test_cases_count_where_they_have_labels(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "set")
    put(*(root / "imagesTs" / f"{name}_0000.nii.gz" for name in ("x", "Y")))
    assert tuple(read_domain(root, "--target").images) == NAMES

    put(*(root / "labelsTs" / f"{name}.nii.gz" for name in ("x", "Y")))
    (root / "test.txt").write_text("a\n")
    domain = read_domain(root, "--target")
    assert tuple(domain.images) == ("Y", *NAMES, "x")
    assert domain.test == {"Y", "a", "x"}
    assert domain.pool == ("b", "c", "d", "e")
    assert domain.labels["x"] == root / "labelsTs" / "x.nii.gz"

    (root / "labelsTs" / "x.nii.gz").unlink()
    refused(root, "test case x has no label", str(root / "labelsTs" / "x.*"), "out of imagesTs")
    put(root / "imagesTs" / "b_0000.nii.gz")
    refused(root, str(root / "imagesTs" / "b_0000.nii.gz"), "imagesTr")
