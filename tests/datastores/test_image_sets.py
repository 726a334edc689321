"""Sets that are kept from question to question."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from monailabel.datastore.local import LocalDatastore
from PIL import Image

from tests.support.pools import write
from xssr_strategy.datastores.image_sets import KeepsSets, images_of, labelled_of
from xssr_strategy.datastores.studies import StudiesDatastore


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write(tmp_path / "studies", 6, 1)


@pytest.fixture
def mask(tmp_path: Path) -> str:
    Image.fromarray(np.full((40, 40), 1, np.uint8)).save(tmp_path / "m.png")
    return str(tmp_path / "m.png")


def test_the_sets_are_the_same_objects_until_something_changes(studies: Path, mask: str) -> None:
    datastore = StudiesDatastore(str(studies), watch=False)
    assert isinstance(datastore, KeepsSets)
    images, labelled = datastore.images, datastore.labelled
    datastore.update_image_info("i01", {"asked": "ann"})
    datastore.save_label("i01", mask, "original", {})
    assert (datastore.images is images, datastore.labelled is labelled) == (True, True)
    datastore.save_label("i01", mask, "final", {})
    assert (datastore.images is images, labelled, datastore.labelled) == (True, frozenset(), {"i01"})
    labelled = datastore.labelled
    datastore.save_label("i01", mask, "final", {})
    StudiesDatastore(str(studies), watch=False).update_image_info("i02", {"asked": "bob"})
    datastore.refresh()
    assert datastore.get_image_info("i02")["asked"] == "bob"
    assert (datastore.images is images, datastore.labelled is labelled) == (True, True)
    (studies / "datastore_v2.json").unlink()
    datastore.refresh()
    assert (datastore.images is images, datastore.labelled is labelled) == (True, True)


def test_whatever_happens_the_sets_are_those_of_the_folder(studies: Path, mask: str) -> None:
    datastore, other = (StudiesDatastore(str(studies), watch=False) for _ in range(2))
    rng, final = random.Random(0), studies / "labels" / "final"
    for step in range(60):
        image = rng.choice(sorted(datastore.images))
        match rng.randrange(6):
            case 0 | 1:
                rng.choice([datastore, other]).save_label(image, mask, rng.choice(["final", "original"]), {})
            case 2 if image in labelled_of(datastore):
                datastore.remove_label(image, "final")
            case 3:
                datastore.add_image(f"new{step}", str(studies / "i00.png"), {})
            case 4 if image != "i00" and len(datastore.images) > 3:
                datastore.remove_image(image)
            case 5:
                other.update_image_info("i00", {"step": step})
        for one in (datastore, other):
            one.refresh()
            assert one.images == {path.stem for path in studies.glob("*.png")} == set(one.list_images())
            assert one.labelled == {path.stem for path in final.glob("*.png")} == set(one.get_labeled_images())
            assert one.images - one.labelled == set(one.get_unlabeled_images())
            assert one.status()["completed"] == len(one.labelled)
            assert one.status()["label_tags"] == LocalDatastore.status(one)["label_tags"]


def test_of_any_other_datastore(studies: Path) -> None:
    stock = LocalDatastore(str(studies), extensions=("*.png",))
    assert not isinstance(stock, KeepsSets)
    assert images_of(stock) == {f"i{number:02}" for number in range(6)}
    assert labelled_of(stock) == set()
