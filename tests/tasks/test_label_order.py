"""Labels in another order than when they were drawn and trained on: renumbered, refused, never swapped."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from tests.support.phantoms import ellipsoids, write_png
from tests.support.trainings import SHORT, XRAY, same, studies, trainer, weights
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import MODEL_KEY, publish, published_plan
from xssr_strategy.storage.tensor_files import save_tensors
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer

BOTH, SWAPPED = ("bright", "dark"), ("dark", "bright")


def submitted(folder: Path, labels: tuple[str, ...]) -> StudiesDatastore:
    """A folder with two labelled pictures, whose numbers are of ``labels``."""
    rng, label = np.random.default_rng(0), folder.parent / "label.png"
    masks = []
    for number in range(2):
        image, mask = ellipsoids((60, 48), 2, rng)
        write_png(folder / f"case{number}.png", np.clip(60 + 120 * image, 0, 255))
        masks.append(mask)
    datastore = StudiesDatastore(str(folder), watch=False, preset=XRAY, labels=labels)
    for number, mask in enumerate(masks):
        write_png(label, mask)
        datastore.save_label(f"case{number}", str(label), "final", {})
    return datastore


def test_a_training_after_the_order_changed_learns_the_same_structures(tmp_path: Path) -> None:
    """Bit for bit the network of labels that were drawn with the new numbers."""
    submitted(tmp_path / "pool", BOTH)
    datastore = StudiesDatastore(str(tmp_path / "pool"), watch=False, preset=XRAY, labels=SWAPPED)
    trainer(tmp_path, XRAY, SWAPPED)(SHORT, datastore)
    other = tmp_path / "other"
    swapped = submitted(other / "pool", BOTH)
    for file in (other / "pool" / "labels" / "final").iterdir():
        write_png(file, np.array([0, 2, 1], np.uint8)[_pixels(file)])
    swapped = StudiesDatastore(str(other / "pool"), watch=False, preset=XRAY, labels=SWAPPED)
    trainer(other, XRAY, SWAPPED)(SHORT, swapped)
    assert same(weights(tmp_path), weights(other))


def _pixels(file: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(file)).T


def test_a_label_whose_name_is_gone_is_named_in_the_statistics(tmp_path: Path) -> None:
    submitted(tmp_path / "pool", BOTH)
    datastore = StudiesDatastore(str(tmp_path / "pool"), watch=False, preset=XRAY, labels=("bright", "other"))
    with pytest.raises(
        UserError, match=r"no usable label .* was drawn as bright,dark, and its dark is none of the labels"
    ):
        trainer(tmp_path, XRAY, ("bright", "other"))(SHORT, datastore)


def test_a_pretrained_start_is_none_from_a_network_of_labels_in_another_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    datastore = studies(tmp_path / "pool", 2, 2, labels=2)
    network = build_unet(2, 1, 3)
    published = tmp_path / "model" / "segmentation.pt"
    published.parent.mkdir()
    publish(network.state_dict(), SegmentationPlan("xray", 2, 1, SWAPPED, (), (48, 48)), published)
    with caplog.at_level(logging.WARNING):
        trainer(tmp_path, XRAY, BOTH)({**SHORT, "pretrained": True}, datastore)
    assert "the published network, of dark,bright, does not fit the labels bright,dark: training from" in caplog.text
    (tmp_path / "scratch").mkdir()
    trainer(tmp_path / "scratch", XRAY, BOTH)(SHORT, datastore)
    assert same(weights(tmp_path), weights(tmp_path / "scratch"))
    assert published_plan(published).labels == BOTH


def test_a_network_of_other_labels_is_not_published(tmp_path: Path) -> None:
    published, brought = tmp_path / "segmentation.pt", tmp_path / "brought.pt"
    network = build_unet(2, 1, 3)
    publish(network.state_dict(), SegmentationPlan("xray", 2, 1, BOTH, (), (48, 48)), published)
    publish(network.state_dict(), SegmentationPlan("xray", 2, 1, SWAPPED, (), (48, 48)), brought)
    infer, before = SegmentationInfer(published, XRAY, BOTH), published.read_bytes()
    with pytest.raises(UserError, match="was trained for the labels dark,bright and the present one for bright,dark"):
        infer.replace(brought)
    assert published.read_bytes() == before
    save_tensors({MODEL_KEY: dict(network.state_dict())}, brought)  # weights alone: nobody says what they are
    infer.replace(brought)
    assert published_plan(published).labels == BOTH


def test_labels_of_which_nobody_noted_the_names_are_told_when_the_order_changes(tmp_path: Path) -> None:
    datastore = studies(tmp_path / "pool", 2, 2, labels=2)
    one, other = trainer(tmp_path, XRAY, BOTH), trainer(tmp_path, XRAY, SWAPPED)
    assert one(SHORT, datastore)["labels"]["remarks"] == []
    assert one(SHORT, datastore)["labels"]["remarks"] == []
    (remark,) = other(SHORT, datastore)["labels"]["remarks"]
    assert remark.startswith("labels without noted names: 2, the first ")
    assert "read as dark,bright, but the network before learnt bright,dark" in remark
