"""Supervised training: the labels, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import Batch, Stage, StepResult, TrainingMethod
from xssr_strategy.segmentation.methods.loaders import labelled_batches
from xssr_strategy.segmentation.network import build_loss
from xssr_strategy.segmentation.plan import SegmentationPlan


class Supervised(TrainingMethod):
    """Dice and cross-entropy on augmented labelled images, as in the XSSR paper (arXiv 2606.04301).

    >>> import torch
    >>> from xssr_strategy.segmentation.methods.supervised import Supervised
    >>> method = Supervised(steps=80)
    >>> method.uses_unlabelled
    False
    >>> method.steps // method.steps_per_epoch  # epochs, after each of which progress is reported
    2
    """

    uses_unlabelled = False

    def stages(self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device) -> Iterator[Stage]:
        """One stage of all steps."""
        yield supervised_stage(self, self.new_network(plan, seed, device), data, plan, seed, device)


def supervised_stage(
    method: TrainingMethod,
    network: nn.Module,
    data: TrainingData,
    plan: SegmentationPlan,
    seed: int,
    device: torch.device,
) -> Stage:
    """All steps of a method, on the labels alone."""
    batches = labelled_batches(data, plan, method.steps_per_epoch, method.recipe.batch_size, seed)
    return method.stage("supervised", network, batches, method.steps, supervised_step(network, device))


def supervised_step(network: nn.Module, device: torch.device) -> Callable[[Batch], StepResult]:
    """From a batch {"image", "label"} to its loss."""
    loss = build_loss()

    def update(batch: Batch) -> StepResult:
        logits, label = network(batch["image"].to(device)), batch["label"].to(device)
        return StepResult({"dice_ce": loss(logits.float(), label)}, logits, label)

    return update
