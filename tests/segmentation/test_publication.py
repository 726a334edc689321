from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.mask_quality import MaskAutoencoder
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_text
from xssr_strategy.segmentation.publication import (
    load_judged_model,
    load_model,
    publish,
    published_plan,
    warm_start,
    write_json,
)

PLAN = SegmentationPlan("xray", 2, 1, ("lung",), (), (64, 64))


def test_published_weights_are_plain_and_come_back(tmp_path: Path) -> None:
    network, other = build_unet(2, 1, 2), build_unet(2, 1, 2)
    path = tmp_path / "new folder" / "model.pt"
    publish(network.state_dict(), PLAN, path)
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]
    assert list(torch.load(path, weights_only=True)) == ["model", "plan"]
    assert published_plan(path) == PLAN
    assert warm_start(other, path)
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(network.eval()(image), other.eval()(image))


def test_a_model_whose_plan_lies_beside_it_is_read_and_gives_way_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    network = build_unet(2, 1, 2)
    torch.save({"model": network.state_dict()}, path)
    with pytest.raises(UserError, match=r"model\.pt: .* train again"):
        published_plan(path)
    path.with_suffix(".json").write_text(plan_text(PLAN))
    assert load_model(path)[1] == PLAN
    publish(network.state_dict(), PLAN, path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
    assert load_model(path)[1] == PLAN


def test_a_network_of_another_shape_is_never_half_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    publish(build_unet(2, 1, 2).state_dict(), PLAN, path)
    network = build_unet(2, 1, 4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not warm_start(network, path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PyTorch opens it twice, what is read may be the plan of one file with the weights of another."""
    path = tmp_path / "model.pt"
    publish(build_unet(2, 1, 2).state_dict(), PLAN, path)
    other = replace(PLAN, labels=("other",))
    load, calls = torch.load, []

    def replaced(*arguments: Any, **more: Any) -> Any:
        content = load(*arguments, **more)
        calls.append(1)
        if len(calls) < 3:
            publish(build_unet(2, 1, 2).state_dict(), other, path)
        if len(calls) == 2:
            raise RuntimeError("Trying to resize storage that is not resizable")
        return content

    monkeypatch.setattr(torch, "load", replaced)
    assert published_plan(path) == other
    assert len(calls) == 3


def test_statistics_are_strict_json(tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    write_json(path, {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": None}})
    assert json.loads(path.read_text(), parse_constant=lambda name: name) == {"a": 0, "b": [1.5, 0], "c": {"d": None}}


def test_the_autoencoder_of_masks_lies_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    network, autoencoder = build_unet(2, 1, 2), MaskAutoencoder(2, 1).eval()
    publish(network.state_dict(), PLAN, path, autoencoder.state_dict())
    _, _, loaded = load_judged_model(path)
    assert loaded is not None
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 20:50, 30:70] = 1
    torch.testing.assert_close(loaded(mask), autoencoder(mask))
    assert load_model(path)[1] == PLAN
    publish(network.state_dict(), PLAN, path)  # as a version without one does
    assert load_judged_model(path)[2] is None


def test_an_autoencoder_with_layers_of_before_stays_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    publish(build_unet(2, 1, 2).state_dict(), PLAN, path, MaskAutoencoder(2, 1).state_dict())
    content = torch.load(path, weights_only=True)
    (key,) = content.keys() - {"model", "plan"}
    content["mask_autoencoder"] = content.pop(key)
    torch.save(content, path)
    assert load_judged_model(path)[2] is None


def test_an_autoencoder_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    publish(build_unet(2, 1, 2).state_dict(), PLAN, path, MaskAutoencoder(2, 3).state_dict())
    with pytest.raises(UserError, match=r"model\.pt: the segmentation model cannot be read .* train again"):
        load_judged_model(path)
