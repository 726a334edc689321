"""What a segmentation network sees in an image: its deepest features, as a vector.

    f = mean over the windows and positions of  the last feature map of the lowest resolution

A trained U-Net keeps there what it needs to segment, so that images that are near to each other in these vectors are
alike to the network. That the mean is taken over all positions is our choice, as for the encoders of the selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.networks.layers.simplelayers import SkipConnection
from torch import Tensor, nn

from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.inference import Predictor, predictions
from xssr_strategy.segmentation.plan import SegmentationPlan


def deepest_module(network: nn.Module, image: Tensor) -> nn.Module:
    """The module that puts out the last of the feature maps with the fewest positions.

    Args:
        network: in evaluation mode.
        image: (1, C, *spatial) that the network can take.

    >>> from xssr_strategy.segmentation.network import build_unet
    >>> network = build_unet(spatial_dims=2, in_channels=1, out_channels=2).eval()
    >>> deepest_module(network, torch.zeros(1, 1, 32, 32))(torch.zeros(1, 128, 2, 2)).shape  # the lowest residual unit
    torch.Size([1, 256, 2, 2])
    """
    found: list[tuple[int, nn.Module]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        joins = isinstance(module, SkipConnection)  # the lowest map and one before it
        if isinstance(output, Tensor) and output.ndim == image.ndim and not joins:
            found.append((output[0, 0].numel(), module))

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    try:
        with torch.inference_mode():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    fewest = min(count for count, _ in found)
    return [module for count, module in found if count == fewest][-1]


def image_features(
    images: Mapping[str, Path],
    network: nn.Module,
    plan: SegmentationPlan,
    preset: Preset,
    device: torch.device,
) -> Iterator[tuple[str, tuple[float, ...] | UnreadableImage]]:
    """Yield (id, mean of the deepest features, or why the image cannot be read), in order.

    Arguments as :func:`xssr_strategy.segmentation.uncertainty.image_entropies`.
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, _: Any, output: Tensor) -> None:
        seen.append(output.float().flatten(2).mean(dim=2))

    window = torch.zeros(1, plan.channels, *plan.roi, device=device)
    hook = deepest_module(network, window).register_forward_hook(keep)
    try:
        for image, found in predictions(images, Predictor(network, plan, device), plan, preset):
            yield image, found if isinstance(found, UnreadableImage) else tuple(torch.cat(seen).mean(dim=0).tolist())
            seen.clear()
    finally:
        hook.remove()
