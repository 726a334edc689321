"""How good a predicted mask is, told without a label to compare it with.

SingleStrip (arXiv 2508.10464) judges a mask by an autoencoder that knows deformed copies of the true masks alone: a
mask that it cannot rebuild is anatomically odd. The paper compares that with the agreement of predictions under
test-time augmentation; the mean confidence is the cheapest of the three. The software judges by the autoencoder and the
confidence together.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from monai.networks import one_hot
from monai.networks.nets import AutoEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.inference import Predictor, predictions
from xssr_strategy.segmentation.network import likeliest
from xssr_strategy.segmentation.plan import SegmentationPlan

Predict = Callable[[Tensor], Tensor]
"""From an image (C, *grid) to logits (classes, *grid)."""

# All our choice: SingleStrip's autoencoder is not known.
SIDE: Mapping[int, int] = {2: 96, 3: 48}  # of the masks that the autoencoder sees
CHANNELS: Mapping[int, Sequence[int]] = {2: (16, 32, 64, 64, 16), 3: (16, 32, 64, 16)}
# Decided on the pools of docs/RESULTS.md: with these the quality ranks best, and is nearest to the true Dice.
REBUILT_POWER, CONFIDENCE_POWER = 0.25, 3

_ROWS = 16  # of the first axis that are looked at together


class MaskQuality(ABC):
    """A quality in [0, 1] for each label of a predicted mask; 0 for a label that is nowhere."""

    name: ClassVar[str]

    @abstractmethod
    def quality(self, image: Tensor, logits: Tensor, predict: Predict) -> Tensor:
        """(labels,) quality of each label.

        Args:
            image: (C, *grid) in [0, 1].
            logits: (classes, *grid), ``predict(image)``.
            predict: of the network, for whoever looks at the image once more.
        """


class MeanConfidence(MaskQuality):
    """The mean probability of a label where the network finds it.

    >>> import torch
    >>> logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 1.0, 2.0]])  # three pixels, background and one label
    >>> MeanConfidence().quality(torch.zeros(1, 3), logits, lambda image: logits)
    tensor([0.8059])
    """

    name = "confidence"

    def quality(self, image: Tensor, logits: Tensor, predict: Predict) -> Tensor:
        """As :class:`MaskQuality`."""
        return mean_confidence(logits)


class AugmentationAgreement(MaskQuality):
    """The mean Dice between the masks of an image in several contrasts and brightnesses, each with each other.

    Left and right are not exchanged: they may be labels of their own.
    """

    name = "augmentation"
    GAMMAS = (1.0, 0.7, 1.4)
    BRIGHTNESSES = (0.9, 1.1)

    def quality(self, image: Tensor, logits: Tensor, predict: Predict) -> Tensor:
        """As :class:`MaskQuality`."""
        views = [image**gamma for gamma in self.GAMMAS[1:]]
        views += [(image * factor).clamp(0, 1) for factor in self.BRIGHTNESSES]
        masks = [likeliest(found) for found in (logits, *map(predict, views))]
        pairs = itertools.combinations(masks, 2)
        return torch.stack([label_dice(one, other, len(logits) - 1) for one, other in pairs]).mean(0).cpu()


class MaskAutoencoder(nn.Module, MaskQuality):
    """The Dice between a mask and what an autoencoder makes of it, and the mean confidence: the product of powers.

    Args:
        spatial_dims: 2 or 3.
        labels: how many, without the background.
    """

    name = "autoencoder and confidence"

    def __init__(self, spatial_dims: int, labels: int) -> None:
        super().__init__()
        channels = CHANNELS[spatial_dims]
        self.labels, self.side = labels, SIDE[spatial_dims]
        strides = (2,) * len(channels)
        # No normalisation, which MONAI calls None: it would take away how large a mask is.
        self.network = AutoEncoder(spatial_dims, labels, labels, channels, strides, norm=None)  # type: ignore[arg-type]

    def forward(self, masks: Tensor) -> Tensor:
        """(B, labels, *sides) masks -> logits of what they should be, of the same shape."""
        rebuilt: Tensor = self.network(masks)
        return rebuilt

    def quality(self, image: Tensor, logits: Tensor, predict: Predict) -> Tensor:
        """As :class:`MaskQuality`."""
        return self.quality_of_logits(logits)

    def quality_of_logits(self, logits: Tensor) -> Tensor:
        """(labels,) quality of the mask that logits (classes, *grid) give."""
        rebuilt = self.quality_of_mask(likeliest(logits), len(logits) - 1)
        return rebuilt**REBUILT_POWER * mean_confidence(logits) ** CONFIDENCE_POWER

    @torch.inference_mode()
    def quality_of_mask(self, mask: Tensor, labels: int) -> Tensor:
        """(labels,) Dice of a mask (*grid) of label numbers, whoever made it, and what the autoencoder makes of it."""
        mask = mask.to(next(self.parameters()).device)
        seen = torch.cat([shrunk((mask == number)[None].float(), self.side) for number in range(1, labels + 1)])
        return dice(seen, self(seen[None].float())[0] > 0).cpu()


def image_qualities(
    images: Mapping[str, Path],
    predict: Predictor,
    judge: MaskQuality,
    plan: SegmentationPlan,
    preset: Preset,
) -> Iterator[tuple[str, Mapping[str, float] | UnreadableImage]]:
    """Yield (id, label -> quality of its mask, or why the image cannot be read), in order.

    Args:
        images: id -> path.
        predict: the network that makes the masks.
        judge: of the masks.
        plan: of the network.
        preset: kind of image.
    """
    for image, found in predictions(images, predict, plan, preset):
        told: Mapping[str, float] | UnreadableImage
        if isinstance(found, UnreadableImage):
            told = found
        else:
            try:
                with memory_told(images[image]):
                    values = judge.quality(found.image, found.logits, predict).tolist()
                told = dict(zip(plan.labels, values, strict=True))
            except UnreadableImage as error:
                told = error
        yield image, told


def mean_confidence(logits: Tensor) -> Tensor:
    """(labels,) mean probability of each label of logits (classes, *grid) where it is found; 0 if it is nowhere."""
    sums, sizes = logits.new_zeros(len(logits), dtype=torch.float64), logits.new_zeros(len(logits), dtype=torch.int64)
    for part in logits.float().split(_ROWS, dim=1):  # the probabilities of a whole volume are large
        highest, found = part.max(0)
        probability = (highest - part.logsumexp(0)).exp().double()
        sums += torch.bincount(found.flatten(), probability.flatten(), minlength=len(logits))
        sizes += torch.bincount(found.flatten(), minlength=len(logits))
    return (sums / sizes.clamp(min=1))[1:].float().cpu()


def label_maps(mask: Tensor, labels: int) -> Tensor:
    """float32 (labels, *spatial) of a mask (*spatial) of label numbers: 1 where the label is."""
    maps: Tensor = one_hot(mask[None, None], labels + 1)[0, 1:]
    return maps.float()


def shrunk(maps: Tensor, side: int) -> Tensor:
    """Maps of 0 and 1 in a square or cube, whatever their aspect ratio; no label is lost by it.

    Args:
        maps: float32 (labels, *spatial).
        side: of the square or cube.

    Returns:
        bool (labels, side, ...): where a label fills more than half of a cell, or if it does so nowhere, any of it.

    >>> import torch
    >>> maps = torch.zeros(1, 8, 8)
    >>> maps[0, 5, 2] = 1  # a single pixel
    >>> shrunk(maps, 2)[0].tolist()
    [[False, False], [True, False]]
    """
    shares = F.adaptive_avg_pool3d(maps, side) if maps.ndim == 4 else F.adaptive_avg_pool2d(maps, side)
    half = shares > 0.5
    lost = ~half.flatten(1).any(1)
    return torch.where(lost.reshape(-1, *(1 for _ in shares.shape[1:])), shares > 0, half)


def label_dice(one: Tensor, other: Tensor, labels: int) -> Tensor:
    """(labels,) Dice of two masks (*spatial) of label numbers; 0 for a label that neither holds.

    >>> import torch
    >>> label_dice(torch.tensor([1, 1, 2]), torch.tensor([0, 1, 2]), labels=3)
    tensor([0.6667, 1.0000, 0.0000])
    """
    numbers = range(1, labels + 1)  # one after the other: volumes are large
    return torch.cat([dice((one == number)[None], (other == number)[None]) for number in numbers])


def dice(one: Tensor, other: Tensor) -> Tensor:
    """(labels,) Dice of maps (labels, *spatial) of 0 and 1; 0 where neither has any.

    >>> import torch
    >>> dice(torch.tensor([[1, 1, 0], [0, 0, 0]]), torch.tensor([[0, 1, 0], [0, 0, 0]]))
    tensor([0.6667, 0.0000])
    """
    one, other = one.flatten(1).float(), other.flatten(1).float()
    sizes = one.sum(1) + other.sum(1)
    return 2 * (one * other).sum(1) / sizes.clamp(min=1)
