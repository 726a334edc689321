from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.support.scans import CPU, STEPS, Scans, scans
from tests.support.trainings import MRI, XRAY, same
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.mask_quality import MaskAutoencoder
from xssr_strategy.segmentation.methods.base import Batch, StepResult
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.own_masks import ReadPairOrOwnMask
from xssr_strategy.segmentation.methods.recipe import RECIPE
from xssr_strategy.segmentation.methods.single_strip import SingleStrip, _Loaders
from xssr_strategy.segmentation.methods.supervised import supervised_step
from xssr_strategy.segmentation.methods.synthesis import synthesis_transforms
from xssr_strategy.segmentation.pair_cache import MemoryCache
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import EpochReport, TrainingStoppedError, train


def trained(
    found: Scans, count: int = 1, seed: int = 0, stages: Path | None = None, **more: object
) -> dict[str, Tensor]:
    usable, _ = usable_pairs(found.pairs[:count], found.preset, found.labels)
    data = TrainingData(found.preset, usable, found.unlabelled, MemoryCache(CPU), stages=stages)
    method = SingleStrip(STEPS, steps_per_epoch=4)
    network = train(method, data, plan_from(usable, found.preset, found.labels), seed, CPU, **more)  # type: ignore[arg-type]
    return dict(network.state_dict())


def told_stages(reports: list[EpochReport]) -> list[str]:
    return list(dict.fromkeys(one.stage for one in reports))


@pytest.mark.parametrize(
    ("preset", "labels"), [(XRAY, ("a", "b")), pytest.param(MRI, ("blob",), marks=pytest.mark.slow)]
)
def test_the_stages_follow_one_another(tmp_path: Path, preset, labels) -> None:  # type: ignore[no-untyped-def]
    reports: list[EpochReport] = []
    trained(scans(tmp_path, preset, labels), report=reports.append)
    assert told_stages(reports) == ["synthesised", "mask quality", "masks", "fine-tuning"]
    assert [one.parts for one in reports if one.stage == "masks"] == [(done, 4) for done in range(5)]
    assert all(one.parts is None for one in reports if one.stage != "masks")
    assert reports[-1].steps == STEPS


def test_without_an_unlabelled_image_no_mask_is_made_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    alone = Scans(found.pairs, {}, found.preset, found.labels)
    reports: list[EpochReport] = []
    with caplog.at_level(logging.WARNING):
        trained(alone, report=reports.append)
    assert told_stages(reports) == ["synthesised"]
    assert reports[-1].steps == STEPS
    assert "There is no unlabelled image to learn from: the labels alone are." in caplog.text


def test_masks_in_which_nothing_is_found_are_not_learnt_from_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scans(tmp_path, XRAY, ("blob",))

    def nothing(predict: object, image: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0])[:, None, None].expand(2, *image.shape[1:])

    monkeypatch.setattr("xssr_strategy.segmentation.methods.own_masks.Predictor.__call__", nothing)
    with caplog.at_level(logging.WARNING):
        weights = trained(found)
    assert "Nothing is found on any of 4 images: the labels alone are learnt from." in caplog.text
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())


def test_an_image_that_cannot_be_read_is_left_out_with_its_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    Path(found.unlabelled["u1"]).write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        trained(found)
    assert sum("not learnt from: " in record.message for record in caplog.records) == 1


def test_an_image_that_does_not_fit_into_memory_is_left_out_with_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = MaskAutoencoder.quality
    errors = iter([RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), None, None, None])

    def quality(self: MaskAutoencoder, *more: object) -> Tensor:
        if error := next(errors):
            raise error
        return judged(self, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskAutoencoder, "quality", quality)
    with caplog.at_level(logging.WARNING):
        trained(scans(tmp_path, XRAY, ("blob",)))
    assert sum("does not fit into memory" in record.message for record in caplog.records) == 1


def test_the_fine_tuning_draws_other_images_than_the_stage_before(tmp_path: Path) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    usable, _ = usable_pairs(found.pairs[:1], found.preset, found.labels)
    data = TrainingData(found.preset, usable, cache=MemoryCache(CPU))
    loaders = _Loaders(data, plan_from(usable, found.preset, found.labels), 2, 2, seed=0)
    first, again, second = (next(iter(loaders.with_masks((), stage)))["image"] for stage in (0, 0, 1))
    assert torch.equal(first, again)
    assert all(not torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_step_updates_the_weights_by_synthesised_images_and_then_by_real_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    alone = Scans(found.pairs, {}, found.preset, found.labels)
    parts: list[Tensor] = []
    weights: list[Tensor] = []

    def recorded(network: nn.Module, device: torch.device) -> Callable[[Batch], StepResult]:
        update = supervised_step(network, device)

        def step(batch: Batch) -> StepResult:
            parts.append(batch["image"])
            weights.append(next(network.parameters()).detach().clone())
            return update(batch)

        return step

    monkeypatch.setattr("xssr_strategy.segmentation.methods.single_strip.supervised_step", recorded)
    trained(alone)
    assert len(parts) == 2 * STEPS
    assert all(not torch.equal(one, other) for one, other in pairwise(weights[2:]))  # the first has rate 0
    usable, _ = usable_pairs(found.pairs[:1], found.preset, found.labels)
    data = TrainingData(found.preset, usable, cache=MemoryCache(CPU))
    batches = _Loaders(data, plan_from(usable, found.preset, found.labels), 4, RECIPE.batch_size, seed=0)
    whole = torch.cat([batch["image"] for batch in batches.with_masks((), 0)])
    assert torch.equal(torch.cat(parts[:8]), whole)
    synthesised = batches._loader(synthesis_transforms, (), 2)
    assert torch.equal(torch.cat(parts[:8:2]), torch.cat([batch["image"] for batch in synthesised]))


@pytest.fixture(scope="module")
def not_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return trained(scans(tmp_path_factory.mktemp("whole"), XRAY, ("blob",)))


@pytest.mark.parametrize(
    "stop_after", [2, pytest.param(6, marks=pytest.mark.slow), 14, pytest.param(19, marks=pytest.mark.slow)]
)
def test_a_training_that_is_stopped_anywhere_goes_on_from_the_last_finished_stage(
    tmp_path: Path, stop_after: int, not_stopped: dict[str, Tensor]
) -> None:
    """And ends with the very network of one that was not stopped."""
    found = scans(tmp_path, XRAY, ("blob",))
    kept = tmp_path / "stages"
    kept.mkdir()
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > stop_after

    with pytest.raises(TrainingStoppedError):
        trained(found, stages=kept, stopped=stopped)
    reports: list[EpochReport] = []
    assert same(not_stopped, trained(found, stages=kept, report=reports.append))
    done = {"synthesised": 4, "mask quality": 4 + STEPS}  # what is finished is not done again
    finished = {name for name, last in done.items() if stop_after >= last}
    assert finished.isdisjoint(told_stages(reports))


def test_the_best_of_its_masks_are_trained_on_with_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that finds the first image's mask the best: of four, ceil(0.3 * 4) = 2 are kept."""
    found = scans(tmp_path, XRAY, ("blob",))
    asked = iter([0.9, 0.2, 0.0, 0.6])

    def one_blob(predict: object, image: Tensor) -> Tensor:
        logits = torch.zeros(2, *image.shape[1:])
        logits[1, 4:9, 4:9] = 1
        return logits

    monkeypatch.setattr("xssr_strategy.segmentation.methods.own_masks.Predictor.__call__", one_blob)
    monkeypatch.setattr(MaskAutoencoder, "quality", lambda *_: torch.tensor([next(asked)]))
    read: list[str] = []
    reading = ReadPairOrOwnMask.__call__

    def noting(self: ReadPairOrOwnMask, data: Mapping[str, str]) -> dict[str, Tensor]:
        pair = reading(self, data)
        if "mask" in data:
            read.append(data["image"])
            assert int(pair["label"].sum()) == 25
        return pair

    monkeypatch.setattr(ReadPairOrOwnMask, "__call__", noting)
    monkeypatch.setattr(SingleStrip, "keep", 0.5)
    trained(found)
    assert set(read) == {str(found.unlabelled["u0"]), str(found.unlabelled["u3"])}


def test_ablations_keep_another_share_or_make_no_mask(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shares = {name: METHODS[name].keep for name in METHODS if name.startswith("single_strip")}  # type: ignore[attr-defined]
    assert shares == {
        "single_strip": 0.3,
        "single_strip:no-masks": 0.0,
        "single_strip:keep-0.1": 0.1,
        "single_strip:keep-0.5": 0.5,
    }
    reports: list[EpochReport] = []
    scans(tmp_path, XRAY, ("blob",)).train("single_strip:no-masks", report=reports.append)
    assert told_stages(reports) == ["synthesised"]
    assert caplog.messages == []


def test_masks_that_do_not_look_like_labels_are_not_learnt_from_and_the_log_tells_them_from_empty_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MaskAutoencoder, "quality", lambda *_: torch.zeros(1))
    monkeypatch.setattr(
        "xssr_strategy.segmentation.methods.own_masks.Predictor.__call__",
        lambda _, image: torch.tensor([0.0, 1.0])[:, None, None].expand(2, *image.shape[1:]),
    )
    with caplog.at_level(logging.WARNING):
        trained(scans(tmp_path, XRAY, ("blob",)))
    assert caplog.messages == ["No mask of 4 images looks at all like the labels: these alone are learnt from."]


@pytest.mark.slow
@pytest.mark.parametrize("values", ["one voxel", "everywhere", "one grey value"])
def test_a_strange_label_or_image_still_gives_a_network(tmp_path: Path, values: str) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    part = "image" if values == "one grey value" else "label"
    pixels = np.asarray(Image.open(found.pairs[0][part])).copy()
    if values == "one voxel":
        pixels[:] = 0
        pixels[30, 20] = 1
    else:
        pixels[:] = 1
    Image.fromarray(pixels).save(found.pairs[0][part])
    assert all(bool(torch.isfinite(value).all()) for value in trained(found).values())
