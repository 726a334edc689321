"""What a training method is: labels, and perhaps unlabelled images, become a network in one or more stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from xssr_strategy.images.preset import Preset
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.mask_quality import MaskAutoencoder
from xssr_strategy.segmentation.methods.recipe import MAX_EPOCHS, RECIPE, STEPS_PER_EPOCH, Recipe, new_network
from xssr_strategy.segmentation.plan import SegmentationPlan

Batch = Mapping[str, Tensor]
"""What a loader gives: name -> (B, ...) tensor, on whatever device it was read to."""


@dataclass(frozen=True)
class StepResult:
    """What a method computes of one batch.

    Attributes:
        losses: name -> scalar; the training minimises their sum.
        logits: (B, classes, *spatial) of labelled images, from which the training reports its Dice; None reports none.
        label: (B, 1, *spatial) their label numbers, ``IGNORED`` where nobody has looked.
    """

    losses: Mapping[str, Tensor]
    logits: Tensor | None = None
    label: Tensor | None = None


def _nothing() -> None:
    """No work after a step."""


@dataclass(frozen=True)
class Stage:
    """A part of a training, which :func:`xssr_strategy.segmentation.training.train` runs.

    Attributes:
        name: what progress calls it.
        network: what is optimised, on its device.
        batches: one pass gives the batches of an epoch; it is passed over again until the steps are done.
        steps: batches; those of all stages that segment add up to the method's ``steps``.
        optimiser: of the network's weights.
        schedule: of the learning rate, one step for each batch.
        update: one batch, or one part of it -> losses. The training calls it with mixed precision on a GPU, and steps
            the optimiser.
        published: what is validated and, after the last stage that segments, used: the network, or one that follows it.
        after_step: called after each update, for a network that follows this one.
        updates: how often each batch updates the weights, each time by an equal part of it, at one learning rate.
        segments: whether the network segments; if not, it is not validated, and its steps and epochs do not count.
    """

    name: str
    network: nn.Module
    batches: Iterable[Batch]
    steps: int
    optimiser: torch.optim.Optimizer
    schedule: LRScheduler
    update: Callable[[Batch], StepResult]
    published: nn.Module
    after_step: Callable[[], None] = _nothing
    updates: int = 1
    segments: bool = True


@dataclass(frozen=True)
class Work:
    """A part of a training that optimises nothing, such as a look at every image.

    Attributes:
        name: what progress calls it.
        parts: each does a part when it is asked for.
        count: how many there are.
    """

    name: str
    parts: Iterable[None]
    count: int


class TrainingMethod(ABC):
    """How labels, and perhaps unlabelled images, become a network.

    A method says what a step computes; the loop, validation, progress and mixed precision are those of
    :func:`xssr_strategy.segmentation.training.train`, the same for every method.

    Args:
        steps: optimisation steps of the network that is published.
        steps_per_epoch: steps after which progress is reported and, if asked for, the network validated.
        recipe: batch size and optimiser.
        start: weights to go on from; by default they are drawn from the seed.

    Attributes:
        uses_unlabelled: whether the method reads unlabelled images; if not, it is given none.
        needs_unlabelled: whether it is of no use without any.
        version: of what it learns from the same data; another one is another training.
        encoder: name of the encoder with whose weights the network begins; None if with drawn ones.
        epochs: of a training by default, so that it takes at most three times as long as a supervised one.
        autoencoder: what judges the masks of the network, once a method has trained it; None where it trains none.
    """

    uses_unlabelled: ClassVar[bool]
    needs_unlabelled: ClassVar[bool] = False
    version: ClassVar[int] = 1
    encoder: ClassVar[str | None] = None
    epochs: ClassVar[int] = MAX_EPOCHS

    def __init__(
        self,
        steps: int,
        steps_per_epoch: int = STEPS_PER_EPOCH,
        recipe: Recipe = RECIPE,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.steps, self.steps_per_epoch, self.recipe, self.start = steps, steps_per_epoch, recipe, start
        self.autoencoder: MaskAutoencoder | None = None

    @classmethod
    def planned(cls, plan: SegmentationPlan, preset: Preset) -> SegmentationPlan:
        """The plan of the method's network; by default the U-Net's.

        Args:
            plan: of ``plan_from``.
            preset: kind of image.
        """
        return plan

    @abstractmethod
    def stages(
        self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device
    ) -> Iterator[Stage] | Iterator[Stage | Work]:
        """The stages in order; each is asked for when the one before has ended.

        Args:
            data: labelled pairs and, if the method uses them, unlabelled images.
            plan: the geometry of the network.
            seed: of all that is drawn: same data, seed and machine, same network.
            device: where to train.

        Raises:
            UserError: the data do not suffice for this method.
        """

    def new_network(self, plan: SegmentationPlan, seed: int, device: torch.device) -> nn.Module:
        """The network of a plan, with the weights to start from."""
        network = new_network(plan, seed)
        if self.start is not None:
            network.load_state_dict(dict(self.start))
        return network.to(device)

    def stage(
        self,
        name: str,
        network: nn.Module,
        batches: Iterable[Batch],
        steps: int,
        update: Callable[[Batch], StepResult],
        published: nn.Module | None = None,
        after_step: Callable[[], None] = _nothing,
        updates: int = 1,
    ) -> Stage:
        """A stage with the optimiser and the schedule of the recipe; arguments as the attributes of :class:`Stage`."""
        optimiser = self.recipe.optimiser(network)
        schedule = self.recipe.schedule(optimiser, steps)
        used = published or network
        return Stage(name, network, batches, steps, optimiser, schedule, update, used, after_step, updates)
