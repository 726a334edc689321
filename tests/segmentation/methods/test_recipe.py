from __future__ import annotations

import itertools

import pytest
import torch
from monai.data import Dataset

from xssr_strategy.segmentation.methods.loaders import epoch_loader
from xssr_strategy.segmentation.methods.recipe import RECIPE


def rates(steps: int) -> list[float]:
    """The learning rate of every step."""
    optimiser = RECIPE.optimiser(torch.nn.Linear(2, 1))
    schedule = RECIPE.schedule(optimiser, steps)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_0() -> None:
    found = rates(200)
    top = found.index(max(found))
    assert found[top] == pytest.approx(RECIPE.learning_rate)
    assert top == round(200 * RECIPE.warm_up)
    assert found[0] == 0.0
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[-1] < 0.001 * RECIPE.learning_rate


@pytest.mark.parametrize("steps", [1, 2, 3, 9])
def test_a_short_training_learns_from_its_first_step(steps: int) -> None:
    assert rates(steps)[0] == pytest.approx(RECIPE.learning_rate)


def test_an_epoch_takes_few_labels_over_and_over_and_the_next_one_in_another_order() -> None:
    loader = epoch_loader(Dataset(list(range(3))), steps=4, batch_size=2, seed=1)
    first, second = ([number for batch in loader for number in batch.tolist()] for _ in range(2))
    assert len(first) == 8
    assert set(first) == {0, 1, 2}
    assert max(first.count(number) for number in first) <= 3  # every label once before one comes again
    assert first != second
    again = epoch_loader(Dataset(list(range(3))), steps=4, batch_size=2, seed=1)
    assert list(itertools.chain.from_iterable(batch.tolist() for batch in again)) == first
