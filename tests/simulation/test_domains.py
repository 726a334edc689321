"""Domains: one pool whatever labels are there, test cases, sites, and a clear sentence for what is wrong."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.data import HIPPOCAMPUS, MONTGOMERY, PROSTATE_SLICES, SHENZHEN, need
from tests.support.data import held_out as listed_test
from tests.support.folders import (
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
from xssr_strategy.errors import UserError
from xssr_strategy.simulation.domains import Domain, held_out, read_domain, without_label


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cases_and_sites_in_every_layout(tmp_path: Path, layout: FolderLayout) -> None:
    root = layout(tmp_path / "set")
    (root / "test.txt").write_text("\ufeffd.nii.gz\r\n\r\n  b\nb.png\n", encoding="utf-8")
    (root / "sites.csv").write_text("\ufeffimage, site\r\ne.nii.gz, North\r\n\r\na,South", encoding="utf-8")
    domain = read_domain(root, "--target")
    assert domain.test == {"b", "d"}
    assert domain.pool == ("a", "c", "e")
    assert tuple(domain.images) == NAMES
    assert domain.sites == {"a": "South", "b": "set", "c": "set", "d": "set", "e": "North"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pool_does_not_depend_on_which_labels_are_there(tmp_path: Path, layout: FolderLayout) -> None:
    root = layout(tmp_path / "set")
    (root / "test.txt").write_text("b\n")
    before = read_domain(root, "--target")
    labels = root / LABELS[layout]
    for name in ("a", "d", "e"):
        next(labels.glob(f"{name}.*")).unlink()
    after = read_domain(root, "--target")
    assert after == replace(before, labels={name: before.labels[name] for name in ("b", "c")})
    assert without_label(before) == []
    assert without_label(after) == ["a", "d", "e"]
    ending = ".nii.gz" if layout is decathlon else ".*"
    assert after.label_places["a"] == str(labels / f"a{ending}")

    shutil.rmtree(labels)
    assert read_domain(root, "--source", labelled=False).pool == before.pool
    refused(root, labelled=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_label_there_is_no_annotator(tmp_path: Path, layout: FolderLayout) -> None:
    root = layout(tmp_path / "set")
    for label in (root / LABELS[layout]).iterdir():
        label.unlink()
    ending = ".nii.gz" if layout is decathlon else ".*"
    refused(root, "not one of the 5 images has a label", str(root / LABELS[layout] / f"a{ending}"))
    assert read_domain(root, "--source", labelled=False).labels == {}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_test_case_needs_a_label(tmp_path: Path, layout: FolderLayout) -> None:
    root = layout(tmp_path / "set")
    (root / "test.txt").write_text("b\nc\n")
    label = next((root / LABELS[layout]).glob("c.*"))
    label.unlink()
    refused(root, "test case c has no label", str(label.parent / "c."), "take it out of test.txt")
    assert read_domain(root, "--source", labelled=False).test == {"b", "c"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_image_may_be_a_test_case(tmp_path: Path, layout: FolderLayout) -> None:
    root = layout(tmp_path / "set")
    (root / "test.txt").write_text("\n".join(NAMES))
    assert read_domain(root, "--test").pool == ()


@pytest.mark.parametrize("layout", [folders, studies, nnunet])
def test_a_label_may_have_another_extension_than_its_image(tmp_path: Path, layout: FolderLayout) -> None:
    root = layout(tmp_path / "set")
    labels = root / LABELS[layout]
    next(labels.glob("b.*")).unlink()
    put(labels / "b.nrrd", labels / "stranger.nrrd")
    domain = read_domain(root, "--target")
    assert domain.labels["b"] == labels / "b.nrrd"
    assert tuple(domain.labels) == NAMES


def test_the_real_sets() -> None:
    montgomery = read_domain(need(MONTGOMERY), "--source")
    assert (len(montgomery.images), len(montgomery.labels), montgomery.test) == (138, 138, frozenset())
    assert montgomery.name == "montgomery"
    for folder, images, test in ((SHENZHEN, 550, 110), (HIPPOCAMPUS, 260, 60)):
        domain = read_domain(need(folder), "--target")
        assert (len(domain.images), len(domain.labels), len(domain.test)) == (images, images, test)
        assert domain.test == set(listed_test(folder))
        assert len(domain.pool) == images - test
        assert without_label(domain) == []


def test_a_plain_folder_is_a_source_only(tmp_path: Path) -> None:
    root = tmp_path / "plain"
    put(root / "x.png", root / "more" / "x.png", root / "images" / "y.png")
    (root / "test.txt").write_text("more/x.png\n")
    domain = read_domain(root, "--source", labelled=False)
    assert domain.pool == ("images/y", "x")
    assert domain.test == {"more/x"}
    assert domain.labels == {}
    refused(root, "images/ and labels/", "labels/final", "dataset.json", "imagesTr/")


def test_a_source_may_have_images_in_images_without_labels(tmp_path: Path) -> None:
    root = folders(tmp_path / "set")
    shutil.rmtree(root / "labels")
    (root / "test.txt").write_text("a\n")
    assert read_domain(root, "--source", labelled=False).pool == ("b", "c", "d", "e")


def test_the_name_is_the_last_part_that_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folders(tmp_path / "set")
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(root / "images")
    assert read_domain(tmp_path / "link", "--target").name == "link"
    assert read_domain(Path(".."), "--target").name == "set"
    monkeypatch.chdir(root)
    assert read_domain(Path(), "--target").name == "set"
    assert read_domain(Path("../link/"), "--target").name == "link"


def test_no_folder_and_no_image(tmp_path: Path) -> None:
    refused(tmp_path / "none", "does not exist")
    put(tmp_path / "file.png")
    refused(tmp_path / "file.png", "is a file")
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "labels").mkdir()
    refused(tmp_path / "set", str(tmp_path / "set" / "images"), "no image is there")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no image is there", labelled=False)


@pytest.mark.parametrize("text", ["a\n\nghost.png\n", "a\n\n../a.png\n"])
def test_a_test_case_that_is_no_image(tmp_path: Path, text: str) -> None:
    root = folders(tmp_path / "set")
    (root / "test.txt").write_text(text)
    refused(root, f"{root / 'test.txt'}, line 3", f"'{text.split()[1]}'")


@pytest.mark.parametrize("name", ["test.txt", "sites.csv", "dataset.json"])
def test_a_file_that_is_no_text(tmp_path: Path, name: str) -> None:
    root = folders(tmp_path / "set")
    (root / name).write_bytes(b"\xff\xfe\x00a")
    refused(root, f"{root / name}:", "UTF-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,North\n", ("first line", "image,site")),
        ("image\na\n", ("first line", "image,site")),
        ("image;site\na;North\n", ("first line", "image,site")),
        ("image,site\na,North\nghost,North\n", ("line 3", "'ghost'")),
        ("image,site\na,North\nb\n", ("line 3", "no site for b")),
        ("image,site\na,North\na.png,South\n", ("line 3", "a has a line before")),
        ("", ("first line", "image,site")),
    ],
)
def test_sites_that_cannot_be_used(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    root = folders(tmp_path / "set")
    (root / "sites.csv").write_text(text)
    refused(root, str(root / "sites.csv"), *words)


def many(count: int) -> Domain:
    images = {f"i{number:02}": Path(f"i{number:02}.png") for number in range(count)}
    places = {image: f"labels/{image}.*" for image in images}
    sites = dict.fromkeys(images, "set")
    return Domain(
        "set", Path("set"), images, images, frozenset(), (), sites, {image: image for image in images}, places
    )


def test_a_line_of_the_sites_without_an_end(tmp_path: Path) -> None:
    (folders(tmp_path) / "sites.csv").write_text(f"image,site\na,{'x' * 200_000}\n")
    refused(tmp_path, "sites.csv", "line 2", "correct the line")


def test_an_image_whose_name_is_not_utf_8_is_left_out_as_everywhere(tmp_path: Path, caplog) -> None:
    image = folders(tmp_path) / "images" / "a.png"
    image.rename(os.fsdecode(os.fsencode(tmp_path) + b"/images/sc\xe9n.png"))
    domain = read_domain(tmp_path, "--target", labelled=False)
    assert domain.images.keys() == set(NAMES) - {"a"}
    assert "is left out: its name is not UTF-8; rename it" in caplog.text


@pytest.mark.parametrize(
    ("count", "fraction", "held"), [(40, 0.2, 8), (138, 0.2, 28), (3, 0.2, 1), (1, 0.2, 1), (40, 0.5, 20)]
)
def test_a_fifth_is_held_out(count: int, fraction: float, held: int) -> None:
    domain = held_out(many(count), fraction)
    assert len(domain.test) == held
    assert domain.test | set(domain.pool) == domain.images.keys()
    assert domain == replace(many(count), test=domain.test)


def test_what_is_held_out_depends_on_the_seed_alone() -> None:
    domain = many(40)
    reordered = replace(domain, images=dict(reversed(list(domain.images.items()))))
    assert held_out(reordered).test == held_out(domain).test
    assert len({held_out(domain, seed=seed).test for seed in range(5)}) == 5
    pool = held_out(domain).pool
    fewer = replace(domain, labels={image: path for image, path in domain.images.items() if image not in pool})
    assert held_out(fewer).test == held_out(domain).test


def test_all_images_of_a_patient_are_held_out_or_none() -> None:
    domain = many(40)
    domain = replace(domain, patients={image: f"p{number // 4}" for number, image in enumerate(domain.images)})
    drawn = held_out(domain)
    assert len(drawn.test) == 8  # the four images of two of the ten patients
    assert len({domain.patients[image] for image in drawn.test}) == 2
    assert {domain.patients[image] for image in drawn.test}.isdisjoint(domain.patients[image] for image in drawn.pool)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_patients(tmp_path: Path, layout: FolderLayout) -> None:
    root = layout(tmp_path / "set")
    (root / "patients.csv").write_text("image,patient\na,P1\nb,P1\nc.nii.gz,P2\n")
    assert read_domain(root, "--target").patients == {"a": "P1", "b": "P1", "c": "P2", "d": "d", "e": "e"}
    (root / "test.txt").write_text("a\nb\n")
    assert read_domain(root, "--target").test == {"a", "b"}
    (root / "test.txt").write_text("b\nd\n")
    refused(root, str(root / "patients.csv"), "patient P1 has the test case b and, in the pool, a", "test.txt")
    (root / "patients.csv").write_text("image,patient\na,\n")
    refused(root, str(root / "patients.csv"), "line 2", "no patient for a")


def test_the_patients_of_the_real_sets() -> None:
    domain = read_domain(need(PROSTATE_SLICES / "B"), "--target")
    assert (len(domain.images), len(set(domain.patients.values()))) == (184, 13)
    assert len({domain.patients[image] for image in domain.test}) == 4


def test_a_test_set_is_kept() -> None:
    domain = replace(many(40), test=frozenset({"i03"}))
    assert held_out(domain) == domain


def test_a_case_that_is_held_out_needs_a_label() -> None:
    domain = many(10)
    missing = min(held_out(domain).test)
    labels = {image: path for image, path in domain.labels.items() if image != missing}
    with pytest.raises(UserError, match=rf"{missing} is drawn .* add labels/{missing}\.\* or .* test\.txt"):
        held_out(replace(domain, labels=labels))
