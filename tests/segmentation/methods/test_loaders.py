"""In which order labelled images are learnt from, and what it is worth where most of them are empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import Dataset

from tests.support.phantoms import write_png
from tests.support.trainings import XRAY
from xssr_strategy.labels.reading import labelled_pair, usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.loaders import epoch_loader, labelled_batches
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import train
from xssr_strategy.simulation.evaluation import score

CPU = torch.device("cpu")
NONE, ONE, BOTH = frozenset[int](), frozenset({1}), frozenset({1, 2})


def order(holding: list[frozenset[int]] | None, first: int | None = None, size: int = 6, seed: int = 3) -> list[int]:
    loader = epoch_loader(Dataset(list(range(size))), 20, 2, seed, first, holding)
    return [number for batch in loader for number in batch.tolist()]


@pytest.mark.parametrize("first", [None, 2])
@pytest.mark.parametrize("held", [NONE, ONE, BOTH])
def test_where_all_hold_the_same_labels_the_order_is_that_of_before(held: frozenset[int], first: int | None) -> None:
    assert order([held] * 6, first) == order(None, first)


def test_every_second_image_holds_a_label_each_in_its_turn_and_the_others_are_any() -> None:
    found = order([NONE, NONE, NONE, ONE, ONE, BOTH])
    assert set(found[0::4]) == {3, 4, 5}
    assert set(found[2::4]) == {5}
    assert set(found[1::2]) == set(range(6))
    assert [found[1::2].count(number) for number in range(6)] == pytest.approx([20 / 6] * 6, abs=1)


def test_with_labels_of_a_source_each_side_has_its_own_turns() -> None:
    found = order([NONE, ONE, NONE, NONE, ONE], first=2, size=5)
    assert all(number < 2 for number in found[0::2])
    assert all(number >= 2 for number in found[1::2])
    assert set(found[0::4]) == {1}
    assert set(found[1::4]) == {4}
    assert set(found[2::4]) == {0, 1}


def mostly_empty(folder: Path, seed: int) -> list[dict[str, str]]:
    """Ten noisy pictures, of which the first holds a small bright disc."""
    rng = np.random.default_rng(seed)
    pairs = []
    rows, columns = np.mgrid[:32, :32]
    for number in range(10):
        image, label = rng.normal(100, 12, (32, 32)), np.zeros((32, 32), dtype=np.uint8)
        row, column = rng.uniform(10, 22, 2)
        if number == 0:
            label[(rows - row) ** 2 + (columns - column) ** 2 < 9] = 1
            image[label > 0] += 40
        file = f"{number}.png"
        pairs.append(
            labelled_pair(str(write_png(folder / "i" / file, image)), str(write_png(folder / "l" / file, label)))
        )
    return pairs


@pytest.mark.parametrize("seed", [0, 1])
def test_a_label_that_one_image_in_ten_holds_is_learnt(tmp_path: Path, seed: int) -> None:
    """With all images alike, the Dice on the learnt image was 0.47 and 0.59."""
    pairs = mostly_empty(tmp_path, seed)
    usable, _ = usable_pairs(pairs, XRAY, ("disc",))
    assert [pair.holds for pair in usable] == [ONE, *[NONE] * 9]
    plan = plan_from(usable, XRAY, ("disc",))
    data = TrainingData(XRAY, usable)
    assert next(iter(labelled_batches(data, plan, 2, 2, seed)))["label"][0].any()
    network = train(Supervised(60), data, plan, seed, CPU)
    assert score(network, plan, XRAY, pairs[0], CPU).dice[0] > 0.7
