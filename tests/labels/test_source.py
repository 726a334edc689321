"""Which labels belong to which images of the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.folders import LAYOUTS, NAMES, FolderLayout, decathlon, folders, put
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images
from xssr_strategy.labels.source import read_source_labels
from xssr_strategy.pool.studies import open_studies
from xssr_strategy.settings import Settings

BOTH = ("Anterior", "Posterior")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_of_images_with_labels(layout: FolderLayout, tmp_path: Path) -> None:
    pairs = read_source_labels(layout(tmp_path), {}, BOTH).pairs
    assert [Path(pair["label"]).name.split(".")[0] for pair in pairs] == list(NAMES)
    for pair in pairs:
        assert Path(pair["image"]).name.split(".")[0].removesuffix("_0000") == Path(pair["label"]).name.split(".")[0]
        assert Path(pair["image"]).is_file()


@pytest.mark.parametrize("named", [".", "labels"])
def test_test_cases_do_not_train(named: str, tmp_path: Path) -> None:
    folders(tmp_path)
    images = find_images(tmp_path / "images")
    (tmp_path / "test.txt").write_text("b\nd.png\n")
    found = read_source_labels(tmp_path / named, images, BOTH)
    assert [Path(pair["image"]).stem for pair in found.pairs] == ["a", "c", "e"]
    assert found.held_out == {(tmp_path / "images" / f"{name}.png").resolve() for name in "bd"}
    (tmp_path / "test.txt").write_text("z\n")
    with pytest.raises(UserError, match=r"^--conf source_labels .*test.txt, line 1: 'z' is none of the 5 images"):
        read_source_labels(tmp_path / named, images, BOTH)
    (tmp_path / "test.txt").write_text("\n".join("abcde"))
    with pytest.raises(UserError, match="all its labels are of test cases; shorten"):
        read_source_labels(tmp_path / named, images, BOTH)


def test_a_folder_of_labels_beside_the_sources_images(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "labels" / "b.png").unlink()
    put(tmp_path / "labels" / "of nothing.png")
    pairs = read_source_labels(tmp_path / "labels", find_images(tmp_path / "images"), BOTH).pairs
    assert [Path(pair["label"]).stem for pair in pairs] == ["a", "c", "d", "e"]
    assert all(Path(pair["image"]) == tmp_path / "images" / Path(pair["label"]).name for pair in pairs)


@pytest.mark.parametrize("labels", [("Anterior",), ("Posterior", "Anterior"), ("Anterior", "Posterior", "Other")])
def test_labels_of_other_names_or_in_another_order(labels: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source_labels .*: its labels are Anterior,Posterior, but --conf labels"):
        read_source_labels(decathlon(tmp_path), {}, labels)


def test_no_label_of_an_image(tmp_path: Path) -> None:
    put(tmp_path / "labels" / "z.png")
    with pytest.raises(UserError, match="holds no label with the file name of an image of --conf source; name the"):
        read_source_labels(tmp_path / "labels", {"a": tmp_path / "a.png"}, BOTH)
    with pytest.raises(UserError, match="holds no label"):
        read_source_labels(tmp_path / "labels", {}, BOTH)


def test_a_layout_that_cannot_be_used_names_the_key(tmp_path: Path) -> None:
    decathlon(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(UserError, match=r"^--conf source_labels .*dataset.json"):
        read_source_labels(tmp_path, {}, BOTH)


def test_labels_of_no_image_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("images/a.png", "images/b.png", "labels/a.png", "labels/b_mask.png", "labels/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    told = f"{tmp_path / 'labels'}: 2 of 3 labels have the name of no image and do not count (b_mask.png, c.png)"
    images = find_images(tmp_path / "images")
    assert len(read_source_labels(tmp_path / "labels", images, BOTH).pairs) == 1
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [told] * len(caplog.records)
    assert caplog.records

    caplog.clear()
    (tmp_path / "images" / "labels").mkdir()
    (tmp_path / "labels").rename(tmp_path / "images" / "labels" / "final")
    assert open_studies(str(tmp_path / "images"), Settings()).labelled.keys() == {"a"}
    assert "2 of 3 labels have the name of no image and do not count (b_mask.png, c.png)" in caplog.text
