"""The parts that semi-supervised methods share, each against its formula."""

from __future__ import annotations

import itertools
import logging
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.phantoms import phantom_pairs
from tests.support.trainings import MRI, XRAY, same
from xssr_strategy.errors import UserError
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods import semi_supervised
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.loaders import labelled_batches, unlabelled_batches
from xssr_strategy.segmentation.methods.mask_autoencoding import WithMaskQuality
from xssr_strategy.segmentation.methods.semi_supervised import (
    BOX_SHARE,
    Guess,
    copy_paste_box,
    ema_update,
    guess,
    mix,
    ramp_up,
    trusted_loss,
)
from xssr_strategy.segmentation.network import build_loss
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import EpochReport, TrainingStoppedError, train

CPU = torch.device("cpu")
LEARNERS = [name for name, method in METHODS.items() if method.needs_unlabelled and ":" not in name]


@pytest.mark.parametrize("sides", [(64, 64), (40, 90), (32, 24, 16)])
def test_a_box_is_a_box_within_the_image_and_of_the_size_asked_for(sides: tuple[int, ...]) -> None:
    rng, shares = np.random.default_rng(0), []
    for _ in range(300):
        box = copy_paste_box(sides, rng)[0]
        places = box.nonzero()
        lengths = (places.max(0).values - places.min(0).values + 1).tolist()
        assert int(box.sum()) == math.prod(lengths)
        shares.append(math.prod(lengths) / math.prod(sides))
    assert max(shares) <= BOX_SHARE[1]
    assert min(shares) < 0.04
    assert np.mean(shares) == pytest.approx(np.mean(BOX_SHARE), abs=0.06)  # rejection favours the small


def test_boxes_reach_every_corner() -> None:
    rng = np.random.default_rng(0)
    covered = torch.stack([copy_paste_box((16, 16), rng) for _ in range(2000)]).any(0)
    assert covered.all()


def test_mix_takes_the_inside_of_the_box() -> None:
    box = torch.tensor([[[[True, False], [False, False]]]])
    mixed = mix(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), box)
    assert mixed[0, 2].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_the_teacher_is_an_average_of_students() -> None:
    student, teacher = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    teacher.weight.data.fill_(99.0)  # forgotten at the first step
    wanted = 0.0
    for step, value in enumerate([3.0, 5.0, 1.0, 4.0]):
        student.weight.data.fill_(value)
        ema_update(teacher, student, step, decay=0.6)
        kept = min(1 - 1 / (step + 1), 0.6)
        wanted = kept * wanted + (1 - kept) * value
        assert teacher.weight.item() == pytest.approx(wanted)


@pytest.mark.parametrize("steps", [200, 500, 60_000])
def test_the_ramp_rises_in_200_parts(steps: int) -> None:
    for step in range(0, steps, max(1, steps // 700)):
        part = step // (steps / 200)
        assert ramp_up(step / steps) == pytest.approx(math.exp(-5 * (1 - part / 200) ** 2))


def test_where_all_is_trusted_the_loss_is_that_of_labels() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 6, 5), torch.randint(0, 3, (2, 1, 6, 5))
    everywhere = Guess(label, torch.ones_like(label, dtype=torch.bool))
    torch.testing.assert_close(trusted_loss(logits, everywhere), build_loss()(logits, label))


def test_what_is_not_trusted_teaches_nothing() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(2, 3, 6, 5, requires_grad=True), torch.randint(0, 3, (2, 1, 6, 5))
    trusted = torch.rand(2, 1, 6, 5) > 0.5
    trusted_loss(logits, Guess(label, trusted)).backward()
    assert logits.grad is not None
    learnt = logits.grad.abs().sum(1, keepdim=True) > 0
    assert bool((learnt == trusted).all())
    assert trusted_loss(logits, Guess(label, torch.zeros_like(trusted))).item() == pytest.approx(0.0, abs=1e-6)


def test_the_loss_of_a_part_against_its_formula() -> None:
    torch.manual_seed(1)
    logits, label = torch.randn(2, 2, 4, 4), torch.randint(0, 2, (2, 1, 4, 4))
    trusted = torch.rand(2, 1, 4, 4) > 0.3
    p = (1 / (1 + np.exp(-(logits[:, 1] - logits[:, 0]).numpy())))[trusted[:, 0].numpy()]
    y = label[:, 0].numpy()[trusted[:, 0].numpy()]
    cross_entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum() / label.numel()
    dice = 1 - 2 * (p * y).sum() / (p.sum() + y.sum())
    found = trusted_loss(logits, Guess(label, trusted)).item()
    assert found == pytest.approx(cross_entropy + dice, abs=1e-4)


def test_a_guess_is_trusted_above_95_per_cent() -> None:
    share = torch.tensor([0.94, 0.96, 0.04, 0.06])
    logits = torch.stack([torch.log(1 - share), torch.log(share)])[None]
    found = guess(logits)
    assert found.label[0, 0].tolist() == [1, 1, 0, 0]
    assert found.trusted[0, 0].tolist() == [False, True, True, False]


def data_of(folder: Path, labelled: int = 2, unlabelled: int = 4, source: int = 0, preset=XRAY) -> TrainingData:
    pairs, others, more = (
        phantom_pairs(folder / part, count, preset.spatial_dims, 1) if count else []
        for part, count in (("target", labelled), ("unlabelled", unlabelled), ("source", source))
    )
    usable, of_source = (usable_pairs(some, preset, ("blob",))[0] if some else [] for some in (pairs, more))
    images = {f"u{row}": Path(pair["image"]) for row, pair in enumerate(others)}
    return TrainingData(preset, usable, images, source_labelled=of_source)


def weights(name: str, data: TrainingData, steps: int = 4) -> dict[str, torch.Tensor]:
    plan = plan_from([*data.labelled, *data.source_labelled], data.preset, ("blob",))
    return dict(train(METHODS[name](steps, steps_per_epoch=2), data, plan, 0, CPU).state_dict())


@pytest.mark.parametrize("name", LEARNERS)
def test_without_an_unlabelled_image_the_training_is_supervised_and_says_so(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(tmp_path, unlabelled=0)
    assert same(weights(name, data), weights("supervised", data))
    assert caplog.messages == ["There is no unlabelled image to learn from: the training is supervised."]


@pytest.mark.parametrize("name", LEARNERS)
def test_one_unlabelled_image_is_enough(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = data_of(tmp_path, unlabelled=1)
    assert not same(weights(name, data), weights("supervised", data))
    assert caplog.messages == []


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("preset", [XRAY, pytest.param(MRI, marks=pytest.mark.slow)])
def test_an_unreadable_image_is_left_out_with_its_sentence(
    name: str, preset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(tmp_path, preset=preset)
    spoilt = data.unlabelled["u2"]
    spoilt.write_bytes(b"no image")
    weights(name, data, steps=12)
    (said,) = caplog.messages
    assert said.startswith(f"not learnt from: {spoilt}: ")
    for path in data.unlabelled.values():
        path.write_bytes(b"no image")
    caplog.clear()
    assert same(weights(name, data), weights("supervised", data))
    assert len(caplog.messages) == 5
    assert caplog.messages[-1].startswith("There is no unlabelled image")


def test_an_image_of_another_dimension_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = data_of(tmp_path, unlabelled=1)
    volume = phantom_pairs(tmp_path / "volumes", 1, 3, 1)[0]["image"]
    weights("fixmatch", TrainingData(XRAY, data.labelled, {**data.unlabelled, "v": Path(volume)}), steps=8)
    assert len(caplog.messages) == 1
    assert "is a 3-D image but preset 'xray' is for 2-D images" in caplog.messages[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_a_teacher_that_finds_nothing_for_long_ends_the_unlabelled_part(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semi_supervised, "COLLAPSED_AFTER", 3)
    monkeypatch.setattr(semi_supervised, "CONFIDENCE", 1.0)  # which nothing is above
    data = data_of(tmp_path)
    losses: list[list[str]] = []
    plan = plan_from(data.labelled, XRAY, ("blob",))
    with caplog.at_level(logging.WARNING):
        train(METHODS[name](20, steps_per_epoch=1), data, plan, 0, CPU, report=lambda one: losses.append([*one.losses]))
        train(
            METHODS[name](20, steps_per_epoch=20), data, plan, 0, CPU, report=lambda one: losses.append([*one.losses])
        )
    assert losses.pop() == losses[0]  # an epoch in which the teacher collapses tells all its losses
    caplog.records.pop()
    (said,) = caplog.messages
    assert said.startswith("The network found no label on unlabelled images for 3 steps: the rest of the training is")
    counted_from = next(step for step in range(20) if ramp_up(step / 20) >= 0.1)
    assert [len(names) > 1 for names in losses] == [step < counted_from + 3 for step in range(20)]


def test_an_image_that_is_gone_in_mid_training_ends_it_with_its_sentence(tmp_path: Path) -> None:
    """MONAI's thread would print a traceback and begin the epoch again, for ever."""
    data = data_of(tmp_path)
    gone = Path(data.labelled[1].image)

    def report(_: EpochReport) -> None:
        gone.unlink(missing_ok=True)

    plan = plan_from(data.labelled, XRAY, ("blob",))
    for name in ("supervised", *LEARNERS):
        with pytest.raises(UserError, match=re.escape(f"{gone}: does not exist")):
            train(METHODS[name](200, steps_per_epoch=2), data, plan, 0, CPU, report=report)
        shutil.copy(data.labelled[0].image, gone)


def test_where_every_unlabelled_image_is_gone_in_mid_training_a_sentence_ends_it(tmp_path: Path) -> None:
    data = data_of(tmp_path)

    def report(_: EpochReport) -> None:
        for path in data.unlabelled.values():
            path.unlink(missing_ok=True)

    plan = plan_from(data.labelled, XRAY, ("blob",))
    for name in LEARNERS[:1]:
        with pytest.raises(UserError, match="none of the unlabelled images can be read any more; put them back"):
            train(METHODS[name](200, steps_per_epoch=2), data, plan, 0, CPU, report=report)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ust_run"])
@pytest.mark.parametrize("stop_after", [2, 9])
def test_a_training_that_is_stopped_anywhere_goes_on_from_the_last_finished_stage(
    name: str, stop_after: int, tmp_path: Path
) -> None:
    """A method of one stage, and then what judges the masks: 8 steps and 3."""
    data = data_of(tmp_path)
    plan = plan_from(data.labelled, XRAY, ("blob",))
    kept = tmp_path / "stages"
    kept.mkdir()

    def trained(stages: Path | None, most: int = 1000) -> dict[str, torch.Tensor]:
        asked = itertools.count(1)
        method = WithMaskQuality(METHODS[name](8, steps_per_epoch=4))
        network = train(method, replace(data, stages=stages), plan, 0, CPU, stopped=lambda: next(asked) > most)
        assert method.autoencoder is not None
        return {**network.state_dict(), **{f"judge {key}": one for key, one in method.autoencoder.state_dict().items()}}

    with pytest.raises(TrainingStoppedError):
        trained(kept, stop_after)
    assert [path.stem for path in kept.glob("*.pt")] == (["semi-supervised"] if stop_after > 8 else [])
    assert same(trained(kept), trained(None))


def test_every_second_image_is_the_sources(tmp_path: Path) -> None:
    data = data_of(tmp_path, labelled=1, source=5)
    plan = plan_from(data.labelled, XRAY, ("blob",))
    names = {pair.image: "target" for pair in data.labelled} | {pair.image: "source" for pair in data.source_labelled}
    loader = labelled_batches(data, plan, 6, 3, 0)
    order = [names[loader.dataset.data[place]["image"]] for place in loader.sampler]
    assert order == ["target", "source"] * 9
    others = {loader.dataset.data[place]["image"] for place in labelled_batches(data, plan, 30, 2, 1).sampler}
    assert len(others) == 6


def test_the_two_views_have_one_geometry_and_all_values_of_an_image(tmp_path: Path) -> None:
    data = data_of(tmp_path, unlabelled=3)
    plan = plan_from(data.labelled, XRAY, ("blob",))
    batches = unlabelled_batches(data, plan, 10, 2, 0)
    assert batches is not None
    for batch in batches:
        assert batch.keys() == {"weak", "strong"}
        for weak, strong in zip(batch["weak"], batch["strong"], strict=True):
            assert weak.shape == strong.shape == (1, 48, 48)
            assert min(weak.min(), strong.min()) >= 0
            assert max(weak.max(), strong.max()) <= 1
            assert not torch.equal(weak, strong)
            if strong.std() > 0.02:  # brightness, contrast and a little blur: a rising function of the weak view
                assert np.corrcoef(weak.flatten(), strong.flatten())[0, 1] > 0.8
