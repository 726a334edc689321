from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.scans import CPU, STEPS, Scans, scans
from tests.support.trainings import MRI, XRAY, same
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.single_strip import SingleStrip
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
def test_the_stages_follow_one_another_and_the_seed_decides(tmp_path: Path, preset, labels) -> None:  # type: ignore[no-untyped-def]
    found = scans(tmp_path, preset, labels)
    reports: list[EpochReport] = []
    first = trained(found, report=reports.append)
    assert told_stages(reports) == ["synthesised", "mask quality", "masks", "fine-tuning"]
    assert reports[-1].steps == STEPS
    torch.seed()
    assert same(first, trained(found))
    assert not same(first, trained(found, seed=1))
    assert not same(first, trained(found, count=2))


def test_without_an_unlabelled_image_no_mask_is_made_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    alone = Scans(found.pairs, {}, found.preset, found.labels)
    reports: list[EpochReport] = []
    with caplog.at_level(logging.WARNING):
        trained(alone, report=reports.append)
    assert told_stages(reports) == ["synthesised", "fine-tuning"]
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
    assert ("synthesised" in told_stages(reports)) == (stop_after < 4)  # its 4 steps are not done again
