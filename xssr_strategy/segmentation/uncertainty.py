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

from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.inference import build_inferer
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import read_for_network

_AHEAD = {2: 16, 3: 3}  # images in memory at most: volumes are large


def predictive_entropy(logits: Tensor) -> Tensor:
    """(B, classes, *spatial) logits -> (B,) mean entropy of the softmax in nats, from 0 to log(classes)."""
    logarithms = torch.log_softmax(logits.float(), dim=1)
    return -(logarithms.exp() * logarithms).sum(dim=1).flatten(1).mean(dim=1)


def image_entropies(
    images: Mapping[str, Path],
    network: Module,
    plan: SegmentationPlan,
    preset: Preset,
    device: torch.device,
) -> Iterator[tuple[str, float | UnreadableImage]]:
    """Yield (id, mean predictive entropy in nats, or why the image cannot be read), in order.

    Images pass one by one: what an image gets does not depend on what else is scored.

    Args:
        images: id -> path.
        network: in evaluation mode, on the device.
        plan: of the network.
        preset: kind of image.
        device: where the network is.
    """
    inferer = build_inferer(plan)

    def read(path: Path) -> Tensor:
        return read_for_network(path, preset, plan)[0]

    for image, found in read_ahead(images, read, _AHEAD[preset.spatial_dims]):
        if isinstance(found, UnreadableImage):
            yield image, found
            continue
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits = torch.as_tensor(inferer(found[None].to(device), network))
            yield image, float(predictive_entropy(logits))
