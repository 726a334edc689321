"""How unsure a network is of an image: the entropy of its own prediction.

    H = mean over the pixels of  -sum_c p_c log p_c        (nats)

p is the softmax of one deterministic pass; the mean is taken on the grid of the network (Levy et al. 2026, arXiv
2601.18532, speak of entropy and of no dropout; the mean over the pixels is our reading).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module

from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.inference import Predictor, predictions
from xssr_strategy.segmentation.plan import SegmentationPlan


def predictive_entropy(logits: Tensor) -> Tensor:
    """(B, classes, *spatial) logits -> (B,) mean entropy of the softmax in nats, from 0 to log(classes)."""
    logarithms = torch.log_softmax(logits.float(), dim=1)
    return -(logarithms.exp() * logarithms).sum(dim=1).flatten(1).mean(dim=1)


def class_entropies(logits: Tensor) -> Tensor:
    """(B, classes, *spatial) logits -> (B, classes) mean of p_c times the entropy of the pixel, in nats.

    The sum over the classes is :func:`predictive_entropy`.
    """
    logarithms = torch.log_softmax(logits.float(), dim=1)
    probabilities = logarithms.exp()
    entropy = -(probabilities * logarithms).sum(dim=1, keepdim=True)
    return (probabilities * entropy).flatten(2).mean(dim=2)


def image_entropies(
    images: Mapping[str, Path],
    network: Module,
    plan: SegmentationPlan,
    preset: Preset,
    device: torch.device,
) -> Iterator[tuple[str, float | UnreadableImage]]:
    """Yield (id, mean predictive entropy in nats, or why the image cannot be read), in order.

    Args:
        images: id -> path.
        network: in evaluation mode, on the device.
        plan: of the network.
        preset: kind of image.
        device: where the network is.
    """
    for image, found in predictions(images, Predictor(network, plan, device), plan, preset):
        yield image, found if isinstance(found, UnreadableImage) else float(predictive_entropy(found.logits[None]))


def image_class_entropies(
    images: Mapping[str, Path],
    network: Module,
    plan: SegmentationPlan,
    preset: Preset,
    device: torch.device,
) -> Iterator[tuple[str, tuple[float, ...] | UnreadableImage]]:
    """As :func:`image_entropies`, with the entropy of the background and each label."""
    for image, found in predictions(images, Predictor(network, plan, device), plan, preset):
        yield (
            image,
            found if isinstance(found, UnreadableImage) else tuple(class_entropies(found.logits[None])[0].tolist()),
        )
