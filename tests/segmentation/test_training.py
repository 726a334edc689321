"""The training loop, beside MONAI's own engine and at its edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import Dataset
from monai.engines import SupervisedTrainer
from torch import nn

from tests.support.phantoms import phantom_pairs
from tests.support.trainings import MRI, XRAY, same
from xssr_strategy.errors import TooLargeError
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import Batch, Stage, StepResult
from xssr_strategy.segmentation.methods.loaders import epoch_loader
from xssr_strategy.segmentation.methods.recipe import RECIPE, new_network
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.network import build_loss
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.training import EpochReport, Validation, train
from xssr_strategy.segmentation.transforms import training_transforms

CPU = torch.device("cpu")


def opened(folder: Path, preset: Preset, labels: tuple[str, ...], count: int) -> tuple[TrainingData, SegmentationPlan]:
    usable, _ = usable_pairs(phantom_pairs(folder, count, preset.spatial_dims, len(labels)), preset, labels)
    return TrainingData(preset, usable), plan_from(usable, preset, labels)


@pytest.mark.parametrize(("preset", "labels"), [(XRAY, ("blob",)), (MRI, ("anterior", "posterior"))])
def test_supervised_training_gives_the_network_of_monais_own_trainer(
    tmp_path: Path, preset: Preset, labels: tuple[str, ...]
) -> None:
    """Bit for bit: the same network, loader, loss and optimiser in ``monai.engines.SupervisedTrainer``."""
    data, plan = opened(tmp_path, preset, labels, 3)
    ours = train(Supervised(10, steps_per_epoch=5), data, plan, 5, CPU)

    network = new_network(plan, 5)
    optimiser = RECIPE.optimiser(network)
    schedule = RECIPE.schedule(optimiser, 10)
    items = [{"image": pair.image, "label": pair.label} for pair in data.labelled]
    dataset = Dataset(items, training_transforms(preset, plan, 5))
    engine = SupervisedTrainer(
        device=CPU,
        max_epochs=2,
        train_data_loader=epoch_loader(dataset, 5, RECIPE.batch_size, 5),
        network=network,
        optimizer=optimiser,
        loss_function=build_loss(),
    )
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: schedule.step())
    engine.run()
    assert same(dict(ours.state_dict()), dict(network.state_dict()))
    assert not ours.training


class Measured(Supervised):
    """A method whose validation score is written down in advance: the bias of its network says how good it is."""

    scores = (0.0,)

    def stages(self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device) -> Iterator[Stage]:
        for stage in super().stages(data, plan, seed, device):
            epoch = iter(range(1, 1000))

            def after_step(network: nn.Module = stage.network, epoch: Iterator[int] = epoch) -> None:
                weight = next(iter(network.parameters()))
                with torch.no_grad():
                    weight.fill_(float(next(epoch)))

            yield replace(stage, after_step=after_step)


def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: list[float], patience: int) -> tuple[list, float]:
    """Reports, and after which step the weights that were kept had been written."""
    data, plan = opened(tmp_path, XRAY, ("blob",), 3)
    found = iter(scores)
    monkeypatch.setattr("xssr_strategy.segmentation.training._Run._validate", lambda *_: next(found))
    reports: list[EpochReport] = []
    network = train(
        Measured(len(scores), steps_per_epoch=1),
        replace(data, labelled=data.labelled[:2]),
        plan,
        0,
        CPU,
        Validation(data.labelled[2:], patience),
        reports.append,
    )
    return reports, float(next(iter(network.parameters())).detach().flatten()[0])


def test_the_best_epoch_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports, kept = measured(tmp_path, monkeypatch, [0.1, 0.5, 0.5, 0.3, 0.4], 0)
    assert [one.is_best for one in reports] == [True, True, False, False, False]
    assert kept == 2.0


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 6), (0, 6)])
def test_a_stage_ends_when_patience_is_exhausted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int, epochs: int
) -> None:
    reports, kept = measured(tmp_path, monkeypatch, [0.1, 0.5, 0.4, 0.3, 0.6, 0.2], patience)
    assert len(reports) == epochs
    assert kept == (2.0 if epochs < 5 else 5.0)


def test_validation_looks_at_what_is_held_back_alone_and_does_not_change_the_training(tmp_path: Path) -> None:
    data, plan = opened(tmp_path, XRAY, ("blob",), 4)
    held_back, trained_on = data.labelled[3:], replace(data, labelled=data.labelled[:3])
    reports: list[EpochReport] = []
    plain = train(Supervised(6, steps_per_epoch=3), trained_on, plan, 0, CPU)
    train(Supervised(6, steps_per_epoch=3), trained_on, plan, 0, CPU, Validation(held_back, 0), reports.append)
    assert [one.validation_dice is not None for one in reports] == [True, True]
    assert all(0.0 <= one.validation_dice <= 1.0 and 0.0 <= one.train_dice <= 1.0 for one in reports)
    again = train(Supervised(6, steps_per_epoch=3), trained_on, plan, 0, CPU, report=reports.append)
    assert same(dict(plain.state_dict()), dict(again.state_dict()))
    assert reports[2].train_dice == reports[0].train_dice  # validated or not


class TwoStages(Supervised):
    """Trains one network, then another that follows it by an exponential moving average, and publishes that."""

    def stages(self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device) -> Iterator[Stage]:
        (first,) = super().stages(data, plan, seed, device)
        yield replace(first, name="first", steps=3)
        student: nn.Module = first.network
        teacher = new_network(plan, seed)
        teacher.load_state_dict(student.state_dict())

        def update(batch: Batch) -> StepResult:
            logits = student(batch["image"])
            return StepResult({"level": logits.square().mean(), "zero": 0.0 * logits.sum()})

        def follow() -> None:
            with torch.no_grad():
                for own, other in zip(teacher.parameters(), student.parameters(), strict=True):
                    own.lerp_(other, 0.5)

        yield self.stage("second", student, first.batches, self.steps - 3, update, teacher, follow)


def test_stages_run_in_order_and_the_last_one_says_what_is_published(tmp_path: Path) -> None:
    data, plan = opened(tmp_path, XRAY, ("blob",), 2)
    reports: list[EpochReport] = []
    published = train(TwoStages(7, steps_per_epoch=2), data, plan, 0, CPU, report=reports.append)
    assert [(one.stage, one.steps) for one in reports] == [("first", 2), ("first", 3), ("second", 5), ("second", 7)]
    assert reports[0].losses.keys() == {"dice_ce"}
    assert reports[-1].losses.keys() == {"level", "zero"}
    assert reports[-1].losses["zero"] == 0.0
    assert reports[-1].train_dice is None  # the method tells none
    first = train(Supervised(3, steps_per_epoch=2), data, plan, 0, CPU)
    assert not same(dict(first.state_dict()), dict(published.state_dict()))


def test_weights_to_start_from_are_where_the_training_begins(tmp_path: Path) -> None:
    data, plan = opened(tmp_path, XRAY, ("blob",), 2)
    start = new_network(plan, 9).state_dict()
    still = replace(RECIPE, learning_rate=0.0)
    assert same(dict(train(Supervised(1, recipe=still, start=start), data, plan, 0, CPU).state_dict()), dict(start))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has"), "CUDA out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "DefaultCPUAllocator: can't allocate"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_memory_that_does_not_suffice_is_a_sentence_with_a_remedy(tmp_path: Path, error: Exception, told: str) -> None:
    class Greedy(Supervised):
        def stages(self, *rest: Any) -> Iterator[Stage]:
            (stage,) = super().stages(*rest)

            def update(batch: Batch) -> StepResult:
                raise error

            yield replace(stage, update=update)

    data, plan = opened(tmp_path, XRAY, ("blob",), 1)
    with pytest.raises(TooLargeError, match=rf"the memory of this machine \({told}.*\); train smaller batches"):
        train(Greedy(2), data, plan, 0, CPU)


def test_what_a_transform_cannot_allocate_is_told_likewise_and_other_faults_are_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, plan = opened(tmp_path, XRAY, ("blob",), 1)
    for message, kind in (("can't allocate memory", TooLargeError), ("a mistake", RuntimeError)):

        def failing(*_: object, message: str = message) -> None:
            raise RuntimeError(message)

        monkeypatch.setattr("xssr_strategy.segmentation.transforms.read_image", failing)
        with pytest.raises(kind):
            train(Supervised(2), data, plan, 0, CPU)
