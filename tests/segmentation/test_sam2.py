"""Folders of SAM 2's weights: what is made of good ones, and the sentence about the others."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.sam2 import SIDE, tiny_network, write_weights
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.sam2 import as_picture, check_weights, contrast_around, load_boxes, load_tracker

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tiny_network(), tmp_path_factory.mktemp("sam2"))


@pytest.fixture
def copied(weights: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights, tmp_path / "weights"))


def test_both_networks_have_the_weights_of_the_folder(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert check_weights(weights) == SIDE
    stored = load_file(weights / "model.safetensors")
    tracker, boxes = load_tracker(weights, CPU).network, load_boxes(weights, CPU).network
    for name, value in tracker.state_dict().items():
        torch.testing.assert_close(value, stored[name])
    shared = {name: value for name, value in boxes.state_dict().items() if name in stored}
    assert len(shared) > 200
    for name, value in shared.items():
        torch.testing.assert_close(value, stored[name])
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_grey_values_around_a_region_are_spread() -> None:
    picture = np.random.default_rng(0).uniform(0.5, 0.54, (40, 30)).astype(np.float32)
    picture[30:] = 1.0
    region = np.zeros(picture.shape, dtype=bool)
    region[8:16, 10:20] = True
    spread = contrast_around(picture, region)(picture)
    assert spread[4:20, 5:25].min() == 0
    assert spread[4:20, 5:25].max() == 1
    assert 0.25 < spread[4:20, 5:25].std() < 0.35
    assert len(np.unique(as_picture(spread)[..., 0])) > 200 > 20 > len(np.unique(as_picture(picture)[..., 0]))
    for nothing in (np.zeros_like(region), region):
        np.testing.assert_array_equal(contrast_around(np.full((40, 30), 0.3), nothing)(picture), picture)


@pytest.mark.parametrize("side", [64, 256])
def test_another_side_is_another_size_of_what_the_network_sees(weights: Path, side: int) -> None:
    sam2 = load_boxes(weights, CPU, side)
    prepared = sam2.processor(
        images=as_picture(np.random.default_rng(0).random((50, 40), np.float32)),
        input_boxes=[[[5.0, 5.0, 20.0, 30.0]]],
        return_tensors="pt",
    )
    assert prepared["pixel_values"].shape == (1, 3, side, side)
    with torch.inference_mode():
        found = sam2.network(**prepared, multimask_output=False)
    assert found.pred_masks.shape[-2:] == (side // 4, side // 4)
    tracker = load_tracker(weights, CPU, side)
    session = tracker.processor.init_video_session(inference_device="cpu", dtype=torch.float32)
    mask = np.zeros((50, 40), dtype=bool)
    mask[10:40, 8:30] = True
    tracker.processor.add_inputs_to_inference_session(session, 0, [1], input_masks=[mask], original_size=(50, 40))
    for place in range(3):
        values = np.random.default_rng(place).random((40, 50), np.float32)
        frame = tracker.processor(images=as_picture(values), return_tensors="pt")["pixel_values"][0]
        assert frame.shape == (3, side, side)
        with torch.inference_mode():
            found = tracker.network(inference_session=session, frame=frame, frame_idx=place)
        assert found.pred_masks.shape[-2:] == (side // 4, side // 4)
    with pytest.raises(UserError, match="a multiple of 32, not 100"):
        load_boxes(weights, CPU, 100)


def test_missing_cut_and_foreign_weights_are_one_sentence_each(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"elsewhere: config\.json is missing; fetch SAM 2 by xssr fetch-weights"):
        check_weights(tmp_path / "elsewhere")
    (copied / "processor_config.json").rename(copied / "kept")
    with pytest.raises(UserError, match=r"processor_config\.json is missing"):
        check_weights(copied)
    (copied / "kept").rename(copied / "processor_config.json")

    content = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"model\.safetensors: is cut or damaged"):
        load_tracker(copied, CPU)
    (copied / "model.safetensors").write_bytes(content)

    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "model_type": "sam"}))
    with pytest.raises(UserError, match="holds the weights of sam, not of SAM 2"):
        load_boxes(copied, CPU)
    (copied / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        check_weights(copied)


def test_weights_that_lack_a_part_are_not_drawn_at_random(copied: Path) -> None:
    stored = load_file(copied / "model.safetensors")
    stored.pop(next(name for name in stored if name.startswith("mask_decoder")))
    save_file(stored, copied / "model.safetensors", metadata={"format": "pt"})
    for load in (load_boxes, load_tracker):
        with pytest.raises(UserError, match="SAM 2 cannot be made of it"):
            load(copied, CPU)


def test_without_transformers_it_is_said_what_to_install(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert check_weights(weights) == SIDE
    with pytest.raises(UserError, match=r"needs the package transformers; pip install 'xssr-strategy\[sam\]'"):
        load_tracker(weights, CPU)


def test_a_library_that_is_too_old_or_incomplete_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda package: "5.3.0")
        with pytest.raises(UserError, match=r"needs transformers 5\.18 or later, not 5\.3\.0; pip install"):
            load_boxes(weights, CPU)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UserError, match="needs the package torchvision"):
        load_boxes(weights, CPU)


def test_too_little_memory_is_not_said_of_the_weights(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("transformers.Sam2Model.from_pretrained", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        load_boxes(weights, CPU)
