"""Trains the autoencoder that judges masks, on heavily deformed copies of the true ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from monai.losses import DiceLoss
from monai.transforms import Compose, EnsureTyped, Transform
from torch import Tensor
from torch.nn import functional as F

from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.geometry import network_label
from xssr_strategy.segmentation.mask_quality import SIDE, MaskAutoencoder, label_maps, shrunk
from xssr_strategy.segmentation.methods.base import Batch, Stage, StepResult, TrainingMethod, Work
from xssr_strategy.segmentation.methods.loaders import epoch_loader
from xssr_strategy.segmentation.methods.recipe import STEPS_PER_EPOCH, Recipe
from xssr_strategy.segmentation.methods.synthesis import deformation
from xssr_strategy.segmentation.network import without_ignored
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import ReadPair

# All our choice. Deformations wider or narrower than those of synthesised images rank masks no better.
AUTOENCODER_STEPS = 400
RECIPE = Recipe(batch_size=4, learning_rate=2e-3)


class MaskAutoencoding(TrainingMethod):
    """The autoencoder of :class:`xssr_strategy.segmentation.mask_quality.MaskAutoencoder`, from the labels alone."""

    uses_unlabelled = False

    def __init__(
        self, steps: int = AUTOENCODER_STEPS, steps_per_epoch: int = STEPS_PER_EPOCH, recipe: Recipe = RECIPE
    ) -> None:
        super().__init__(steps, steps_per_epoch, recipe)

    def stages(self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device) -> Iterator[Stage]:
        """One stage of all steps."""
        yield self.judging(data, plan, seed, device)[0]

    def judging(
        self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device
    ) -> tuple[Stage, MaskAutoencoder]:
        """The stage, and the autoencoder that it trains."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = MaskAutoencoder(plan.spatial_dims, len(plan.labels)).to(device)
        # Where nobody has looked a mask seems to end: such labels teach only where there is no other.
        pairs = [*data.labelled, *data.source_labelled]
        whole = [pair.item for pair in pairs if pair.whole] or [pair.item for pair in pairs]
        dataset = data.cache.dataset(
            whole, ReadPair(data.preset, plan), lambda read: _mask_transforms(plan, seed, read)
        )
        batches = epoch_loader(dataset, self.steps_per_epoch, self.recipe.batch_size, seed)
        stage = self.stage("mask quality", network, batches, self.steps, _step(network, device))
        self.autoencoder = network
        return replace(stage, segments=False), network


class WithMaskQuality(TrainingMethod):
    """Another method, and after it, unless the method has trained one, the autoencoder that judges its masks.

    Args:
        method: what trains the network.
    """

    def __init__(self, method: TrainingMethod) -> None:
        super().__init__(method.steps, method.steps_per_epoch, method.recipe, method.start)
        self._method = method

    @property
    def uses_unlabelled(self) -> bool:  # type: ignore[override]  # that of the method
        """As the method."""
        return self._method.uses_unlabelled

    def stages(
        self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device
    ) -> Iterator[Stage | Work]:
        """Those of the method, then one more."""
        yield from self._method.stages(data, plan, seed, device)
        self.autoencoder = self._method.autoencoder
        if self.autoencoder is None:
            steps = min(math.ceil(self.steps / 3), AUTOENCODER_STEPS)  # a short training is not to wait long for it
            judging = MaskAutoencoding(steps, self.steps_per_epoch)
            stage, self.autoencoder = judging.judging(data, plan, seed, device)
            yield stage


def _step(network: MaskAutoencoder, device: torch.device) -> Callable[[Batch], StepResult]:
    """From a batch {"label"} to its loss: soft Dice and cross-entropy of each label."""
    dice = DiceLoss(sigmoid=True)

    def update(batch: Batch) -> StepResult:
        masks = torch.stack([label_maps(label[0].long(), network.labels) for label in batch["label"]]).to(device)
        rebuilt = network(masks).float()
        return StepResult({"dice": dice(rebuilt, masks), "ce": F.binary_cross_entropy_with_logits(rebuilt, masks)})

    return update


def _mask_transforms(plan: SegmentationPlan, seed: int, read: Transform) -> Compose:
    """From a pair to {"label": (1, side, ...)}, deformed."""
    sides = (SIDE[plan.spatial_dims],) * plan.spatial_dims
    steps: list[Transform] = [
        read,
        EnsureTyped("label", track_meta=False, device=torch.device("cpu")),  # where the smooth field is
        _Small(sides),
        *deformation("label", sides),
        EnsureTyped("label", track_meta=False),
    ]
    return Compose(steps).set_random_state(seed=seed)


class _Small(Transform):
    """The label alone, on a grid of these sides; what nobody has looked at is background, and no label is lost."""

    def __init__(self, sides: tuple[int, ...]) -> None:
        self._sides = sides

    def __call__(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        known, _ = without_ignored(data["label"])
        small = network_label(known, self._sides)
        for number in set(known.unique().tolist()) - set(small.unique().tolist()):
            small[shrunk((known == number).float(), self._sides[0])] = number
        return {"label": small}
