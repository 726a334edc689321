from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric
from torch import Tensor

from tests.support.phantoms import phantom_pairs
from tests.support.trainings import XRAY
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.mask_quality import (
    AugmentationAgreement,
    MaskAutoencoder,
    MaskQuality,
    MeanConfidence,
    dice,
    label_maps,
)
from xssr_strategy.segmentation.methods import mask_autoencoding
from xssr_strategy.segmentation.methods.mask_autoencoding import MaskAutoencoding
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import train

SIDES = (48, 48)


def logits_of(mask: Tensor, labels: int, sure: float = 8.0) -> Tensor:
    """(labels + 1, *sides) logits whose argmax is a mask (*sides)."""
    background = (mask == 0).float()[None]
    return sure * torch.cat([background, label_maps(mask, labels)])


def blob(centre: tuple[int, int], radius: int, number: int = 1) -> Tensor:
    rows, columns = np.ogrid[: SIDES[0], : SIDES[1]]
    inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    return torch.from_numpy(inside * number)


def test_dice_is_that_of_monai() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = (torch.rand((3, 20, 20), generator=rng) > 0.6 for _ in range(2))
    theirs = DiceMetric(reduction="none")(one[None].float(), other[None].float())[0]
    torch.testing.assert_close(dice(one, other), theirs)


def judges() -> list[MaskQuality]:
    torch.manual_seed(0)
    return [MeanConfidence(), AugmentationAgreement(), MaskAutoencoder(2, 2).eval()]


@pytest.mark.parametrize("judge", judges(), ids=lambda judge: judge.name)
@pytest.mark.parametrize("mask", [torch.zeros(SIDES, dtype=torch.long), blob((20, 20), 9), blob((20, 20), 9, 2)])
def test_a_quality_for_each_label_and_zero_for_one_that_is_nowhere(judge: MaskQuality, mask: Tensor) -> None:
    logits = logits_of(mask, 2)
    found = judge.quality(torch.rand(1, *SIDES), logits, lambda image: logits)
    assert found.shape == (2,)
    assert bool(((found >= 0) & (found <= 1)).all())
    for number in (1, 2):
        assert number in mask.unique() or found[number - 1] == 0


class Unchanging(torch.nn.Module):
    """Gives back what it gets, as logits, but for so many of its first rows."""

    def __init__(self, lost: int = 0) -> None:
        super().__init__()
        self._lost, self._place = lost, torch.nn.Parameter(torch.zeros(1))  # the judge asks where its weights are

    def forward(self, masks: Tensor) -> Tensor:
        rebuilt = masks - 0.5
        rebuilt[:, :, : self._lost] = -1
        return rebuilt


def test_the_quality_is_the_dice_between_a_mask_and_what_is_made_of_it() -> None:
    judge = MaskAutoencoder(2, 2)
    mask = torch.zeros(96, 96, dtype=torch.long)
    mask[10:50, 20:40], mask[60:70, 5:25] = 1, 2
    judge.network = Unchanging()  # type: ignore[assignment]
    assert judge.quality_of_mask(mask, 2).tolist() == [1, 1]
    judge.network = Unchanging(lost=30)  # type: ignore[assignment]
    assert judge.quality_of_mask(mask, 2).tolist() == pytest.approx([2 * 20 / (40 + 20), 1])


@pytest.mark.parametrize("shape", [(1000, 700), (300, 200, 90)])
def test_a_label_of_one_voxel_and_one_that_fills_the_image_are_not_lost(shape: tuple[int, ...]) -> None:
    judge = MaskAutoencoder(len(shape), 1)
    judge.network = Unchanging()  # type: ignore[assignment]
    mask = torch.zeros(shape, dtype=torch.uint8)
    mask[tuple(side // 3 for side in shape)] = 1
    assert judge.quality_of_mask(mask, 1).item() == 1
    assert judge.quality_of_mask(torch.ones_like(mask), 1).item() == 1
    assert judge.quality_of_mask(torch.zeros_like(mask), 1).item() == 0
    for label in (mask, torch.ones_like(mask)):
        small = mask_autoencoding._Small((judge.side,) * len(shape))({"label": label[None]})["label"]
        assert small.shape == (1, *(judge.side,) * len(shape))
        assert bool((small == 1).any())


def test_confidence_is_the_mean_probability_of_what_was_found() -> None:
    mask = blob((20, 20), 9)
    sure = MeanConfidence().quality(torch.zeros(1, *SIDES), logits_of(mask, 1), lambda image: image)
    unsure = MeanConfidence().quality(torch.zeros(1, *SIDES), logits_of(mask, 1, sure=1.0), lambda image: image)
    torch.testing.assert_close(sure, torch.softmax(torch.tensor([0.0, 8.0]), 0)[1:])
    torch.testing.assert_close(unsure, torch.softmax(torch.tensor([0.0, 1.0]), 0)[1:])


def test_the_default_is_the_fourth_root_of_the_autoencoders_dice_times_the_third_power_of_the_confidence() -> None:
    judge = MaskAutoencoder(2, 1)
    judge.network = Unchanging(lost=40)  # type: ignore[assignment]
    mask = blob((20, 20), 9)
    logits = logits_of(mask, 1, sure=2.0)
    rebuilt = judge.quality_of_mask(mask, 1).item()
    assert 0 < rebuilt < 1
    expected = rebuilt**0.25 * float(torch.softmax(torch.tensor([0.0, 2.0]), 0)[1]) ** 3
    assert judge.quality(torch.zeros(1, *SIDES), logits, lambda image: image).item() == pytest.approx(expected)
    assert judge.quality_of_logits(torch.zeros(2, *SIDES)).tolist() == [0]  # a label that is nowhere


def test_agreement_falls_where_a_mask_follows_the_contrast() -> None:
    image = torch.linspace(0, 1, 48).expand(1, *SIDES)
    steady = logits_of(blob((20, 20), 9), 1)

    def by_brightness(seen: Tensor) -> Tensor:
        return logits_of((seen[0] > 0.5).long(), 1)

    judge = AugmentationAgreement()
    assert judge.quality(image, steady, lambda seen: steady).item() == 1
    assert judge.quality(image, by_brightness(image), by_brightness).item() < 0.95


def test_the_autoencoder_tells_odd_masks_from_those_it_knows(tmp_path: Path) -> None:
    pairs, _ = usable_pairs(phantom_pairs(tmp_path, 2, 2, 1), XRAY, ("blob",))
    plan = plan_from(pairs, XRAY, ("blob",))
    judge = train(MaskAutoencoding(80), TrainingData(XRAY, pairs), plan, 0, torch.device("cpu"))
    assert isinstance(judge, MaskAutoencoder)
    reading = TrainingData(XRAY, pairs).pairs(plan, lambda read: read)  # type: ignore[arg-type, return-value]
    true = reading[0]["label"][0].long()
    stripes = true.clone()
    stripes[::4] = 1 - stripes[::4]
    scattered = (torch.rand(SIDES, generator=torch.Generator().manual_seed(0)) > 0.8).long()
    known, striped, random = (float(judge.quality_of_mask(mask, 1)) for mask in (true, stripes, scattered))
    assert known > 0.85
    assert known > striped + 0.1
    assert known > random + 0.3
