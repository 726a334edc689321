"""Train as the server's trainer does, for a number of steps, and score the test cases."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import Dataset, MetaTensor
from monai.metrics import compute_dice, compute_hausdorff_distance
from monai.networks import one_hot
from monai.networks.nets import UNet
from torch import Tensor

from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import conform, scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label, usable_pairs
from xssr_strategy.segmentation.geometry import network_image, original_label
from xssr_strategy.segmentation.inference import build_inferer
from xssr_strategy.segmentation.methods.recipe import RECIPE, STEPS_PER_EPOCH, Recipe, epoch_loader, new_network
from xssr_strategy.segmentation.network import build_loss
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.transforms import ReadPair, training_transforms

_KEPT_BYTES = 4 * 2**30  # of read images per process, our choice


class KeptPairs:
    """Labelled images as the network sees them, read once and kept on the device while there is room.

    One for all trainings of a process: strategies that compete for the same images share them.
    """

    def __init__(self, device: torch.device, room: int = _KEPT_BYTES) -> None:
        self._device = device
        self._room = room
        self._kept: dict[tuple[Any, ...], dict[str, Tensor]] = {}

    def reader(self, preset: Preset, plan: SegmentationPlan) -> ReadPair:
        """A ``ReadPair`` that reads a pair at most once."""
        return _Remembering(preset, plan, self)

    def get(self, data: Mapping[str, str], read: ReadPair) -> dict[str, Tensor]:
        """The pair, from memory if it is there; the caller may change it."""
        key = (data["image"], data["label"], read.preset, read.plan)
        pair = self._kept[key] if key in self._kept else self._keep(key, _read(data, read))
        return {name: value.to(self._device).clone() for name, value in pair.items()}

    def _keep(self, key: tuple[Any, ...], pair: dict[str, Tensor]) -> dict[str, Tensor]:
        size = sum(value.nbytes for value in pair.values())
        if size <= self._room:
            self._room -= size
            self._kept[key] = pair = {name: value.to(self._device) for name, value in pair.items()}
        return pair


class _Remembering(ReadPair):
    def __init__(self, preset: Preset, plan: SegmentationPlan, kept: KeptPairs) -> None:
        super().__init__(preset, plan)
        self._pairs = kept

    def __call__(self, data: Mapping[str, str]) -> dict[str, Tensor]:
        return self._pairs.get(data, self)


def _read(data: Mapping[str, str], read: ReadPair) -> dict[str, Tensor]:
    return ReadPair(read.preset, read.plan)(data)


def train(
    pairs: Sequence[Mapping[str, str]],
    preset: Preset,
    labels: Sequence[str],
    steps: int,
    seed: int,
    kept: KeptPairs,
    device: torch.device,
    recipe: Recipe = RECIPE,
) -> tuple[UNet, SegmentationPlan]:
    """Train on labelled images as the server's trainer does; the last step's network is the result.

    Nothing is held back for validation: the labels are the budget.

    Args:
        pairs: mappings with the paths ``image`` and ``label``.
        labels: names of the labels, without the background.
        steps: optimisation steps; every strategy gets the same.
        seed: of weights, order of the images and augmentation.
        kept: images read before.
        recipe: the server's trainer has the default.

    Returns:
        The network in evaluation mode, on the device, and the plan to use it by.

    Raises:
        UserError: a label cannot be used. The server's trainer would leave it out; a comparison would be unfair.
    """
    usable, unusable = usable_pairs(pairs, preset, labels)
    if unusable:
        raise UserError(unusable[0][1])
    plan = plan_from(usable, preset, labels)
    transforms = training_transforms(preset, plan, seed, kept.reader(preset, plan))
    dataset = Dataset([{"image": pair.image, "label": pair.label} for pair in usable], transforms)
    loader = epoch_loader(dataset, STEPS_PER_EPOCH, recipe.batch_size, seed)
    network = new_network(plan, seed).to(device).train()
    optimiser, loss_function = recipe.optimiser(network), build_loss()
    schedule = recipe.schedule(optimiser, steps)
    endless = itertools.chain.from_iterable(itertools.repeat(loader))
    for batch in itertools.islice(endless, steps):
        optimiser.zero_grad()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits = network(batch["image"].to(device))
        loss_function(logits.float(), batch["label"].to(device)).backward()
        optimiser.step()
        schedule.step()
    return network.eval(), plan


@dataclass(frozen=True)
class ScoredCase:
    """A test case.

    Attributes:
        dice, hd95: per label; NaN where the case does not hold the label.
        image: (C, *spatial) grey values in [0, 1], conformed.
        truth, prediction: uint8 (*spatial).
    """

    dice: tuple[float, ...]
    hd95: tuple[float, ...]
    image: Tensor
    truth: Tensor
    prediction: Tensor


def read_case(case: Mapping[str, str], preset: Preset, labels: Sequence[str]) -> tuple[MetaTensor, Tensor]:
    """A test case: its image, conformed, and its label (*spatial).

    Args:
        case: the paths ``image`` and ``label``.

    Raises:
        UserError: the image or its label cannot be used.
    """
    image = conform(read_image(case["image"]), preset, case["image"])
    return image, read_label(case["label"], labels, image)[0]


def score(
    network: UNet, plan: SegmentationPlan, preset: Preset, case: Mapping[str, str], device: torch.device
) -> ScoredCase:
    """Segment a test case as the server's inference does, and compare it on the case's own voxels.

    Args:
        case: the paths ``image`` and ``label``.

    Raises:
        UserError: the image or its label cannot be used.
    """
    image, truth = read_case(case, preset, plan.labels)
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        logits = build_inferer(plan)(network_image(image, preset, plan)[None].to(device), network)
    prediction = original_label(torch.as_tensor(logits)[0].float().cpu(), image.affine.numpy(), image.shape[1:])
    dice, hd95 = scores(prediction, truth, len(plan.labels), _spacing(image))
    return ScoredCase(dice, hd95, scale_intensity(image, preset), truth, prediction)


def scores(
    prediction: Tensor, truth: Tensor, labels: int, spacing: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Dice and HD95 of each label, by MONAI's metrics.

    Where the case holds the label and the prediction does not, HD95 would be infinite; the diagonal of the image stands
    for it (our choice), so that a missed label is never better than a poor one.

    Args:
        prediction, truth: (*spatial) label numbers.
        labels: their number, without the background.
        spacing: length of a voxel's sides.

    Returns:
        Two tuples with a value per label; NaN where ``truth`` does not hold the label.
    """
    found_in, held_in = (one_hot(mask[None, None], labels + 1) for mask in (prediction, truth))
    dice = compute_dice(found_in, held_in, include_background=False)[0].numpy()
    hd95 = compute_hausdorff_distance(
        found_in, held_in, include_background=False, percentile=95, spacing=[float(side) for side in spacing]
    )[0].numpy()
    diagonal = float(np.linalg.norm(np.multiply(truth.shape, spacing)))
    held, found = (mask[0, 1:].flatten(1).any(dim=1).numpy() for mask in (held_in, found_in))
    hd95 = np.where(found, hd95, diagonal)
    return tuple(np.where(held, dice, np.nan).tolist()), tuple(np.where(held, hd95, np.nan).tolist())


def _spacing(image: MetaTensor) -> tuple[float, ...]:
    """In mm; of a 2-D image, whose files seldom know it, in pixels."""
    return spacing_of(image) if image.ndim == 4 else (1.0, 1.0)
