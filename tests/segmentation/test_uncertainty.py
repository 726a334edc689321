"""Entropy of a prediction, of images in files, and the store that keeps it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.phantoms import ellipsoids, oblique, write_nifti, write_png
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.publication import load_model, model_id, publish
from xssr_strategy.segmentation.score_stores import ImageScore, UncertaintyStore
from xssr_strategy.segmentation.uncertainty import class_entropies, image_entropies, predictive_entropy

XRAY, MRI = replace(PRESETS["xray"], segmentation_size=32), PRESETS["mri"]
CPU = torch.device("cpu")


@pytest.mark.parametrize("spatial", [(5, 7), (3, 4, 5)])
@pytest.mark.parametrize("classes", [2, 4])
def test_from_0_when_sure_to_log_of_the_classes_when_not(spatial: tuple[int, ...], classes: int) -> None:
    equal = torch.zeros(2, classes, *spatial)
    sure = equal.clone()
    sure[:, 1] = 200.0
    assert predictive_entropy(equal).tolist() == pytest.approx([math.log(classes)] * 2)
    assert predictive_entropy(sure).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    half = torch.cat([equal, sure], dim=2)  # half of the pixels are sure
    assert predictive_entropy(half).tolist() == pytest.approx([math.log(classes) / 2] * 2)


def test_it_is_the_formula() -> None:
    logits = torch.randn(3, 3, 6, 6, dtype=torch.float64)
    p = torch.softmax(logits, dim=1).numpy()
    expected = -(p * np.log(p)).sum(axis=1).mean(axis=(1, 2))
    assert predictive_entropy(logits).numpy() == pytest.approx(expected, abs=1e-6)


def test_the_parts_of_the_classes_are_the_formula_and_sum_up_to_the_entropy() -> None:
    logits = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    p = torch.softmax(logits, dim=1).numpy()
    pixels = -(p * np.log(p)).sum(axis=1, keepdims=True)
    found = class_entropies(logits)
    assert found.numpy() == pytest.approx((p * pixels).mean(axis=(2, 3)), abs=1e-6)
    assert found.sum(1).tolist() == pytest.approx(predictive_entropy(logits).tolist(), abs=1e-6)


class Doubt(nn.Module):
    """As unsure as the image is bright: logits apart by 8 in the dark, equal in full light."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(image), 8.0 * (1.0 - image)], dim=1)


def test_images_come_in_order_and_one_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    images = {}
    for number, bright in enumerate((4, 24, 12)):
        values = np.zeros((40, 40))
        values[:bright] = 255
        images[f"i{number}"] = write_png(tmp_path / f"i{number}.png", values)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    images["j"] = tmp_path / "broken.png"
    plan = SegmentationPlan("xray", 2, 1, ("bright",), (), (32, 32))
    found = dict(image_entropies(images, Doubt(), plan, XRAY, CPU))
    assert list(found) == ["i0", "i1", "i2", "j"]
    assert isinstance(found["j"], UnreadableImage)
    del found["j"]
    assert sorted(found, key=found.__getitem__) == ["i0", "i2", "i1"]
    alone = dict(image_entropies({"i1": images["i1"]}, Doubt(), plan, XRAY, CPU))
    assert alone["i1"] == found["i1"]  # whatever else is scored


def test_volumes_are_seen_through_sliding_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_nifti(tmp_path / "v.nii.gz", ellipsoids((24, 20, 18), 1, rng)[0].astype(np.float32), oblique())
    plan = SegmentationPlan("mri", 3, 1, ("blob",), (1.0, 1.0, 1.0), (16, 16, 16))
    torch.manual_seed(0)
    network = build_unet(3, 1, 2).eval()
    ((_, first),) = image_entropies({"v": path}, network, plan, MRI, CPU)
    ((_, second),) = image_entropies({"v": path}, network, plan, MRI, CPU)
    assert first == second
    assert 0.0 < first < math.log(2.0)


def publish_unet(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    publish(build_unet(2, 1, 2).state_dict(), SegmentationPlan("xray", 2, 1, ("blob",), (), (32, 32)), path)


def test_a_model_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.pt"
    assert model_id(path) is None
    publish_unet(path, 1)
    first = model_id(path)
    assert first is not None
    assert first.startswith("segmentation-")
    publish_unet(path, 1)
    assert model_id(path) == first
    publish_unet(path, 2)
    assert model_id(path) != first


def test_the_published_model_is_loaded_with_its_plan_or_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.pt"
    publish_unet(path, 1)
    network, plan = load_model(path)
    assert not network.training
    assert plan.labels == ("blob",)
    content = path.read_bytes()
    for damage in (content[:100], b"no model"):
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"segmentation.pt: the segmentation model cannot be read .*; train again"):
            load_model(path)
    publish(network.state_dict(), replace(plan, channels=3), path)
    with pytest.raises(UserError, match="does not fit its plan; train again"):
        load_model(path)


def test_the_store_keeps_what_each_model_said(tmp_path: Path) -> None:
    store = UncertaintyStore(tmp_path / "uncertainty.sqlite")
    assert (store.asked(), store.values("a"), store.wanted()) == (None, {}, frozenset())
    store.put("a", [ImageScore("i", "1", 0.25), ImageScore("broken", "1", None)])
    store.put("b", [ImageScore("i", "1", 0.5)])
    assert store.asked() == "a"  # which has seen more, until the other has been through
    store.put("b", [ImageScore("j", "1", 0.5)])
    assert store.asked() == "b"
    store.forget_others("a")
    assert store.values("a") == {"i": 0.25}
    assert store.fingerprints("a") == {"i": "1", "broken": "1"}
    other = UncertaintyStore(tmp_path / "uncertainty.sqlite")
    before = other.version()
    store.put("a", [ImageScore("i", "2", 0.75)])
    assert other.version() != before
    assert other.values("a") == {"i": 0.75}
    assert other.asked() == "a"
    assert other.values("b") == {}
    store.want("auto")
    store.want("auto")
    assert other.wanted() == {"auto"}
