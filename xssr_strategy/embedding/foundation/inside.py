"""The half of a segmentation network that looks at the image, and one vector of what it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import ViT
from torch import Tensor, nn

# SwinUNETR, UNETR, FlexibleUNet and SegResNetDS, SegResNet and AutoEncoder, DenseNet.
_NAMES = ("swinViT", "vit", "encoder", "encode", "features")


def encoder_inside(network: nn.Module) -> Callable[[Tensor], Any] | None:
    """A module or method of ``network`` that maps an image to features; None if none is known."""
    if isinstance(network, ViT):
        return network
    for name in _NAMES:
        part = getattr(network, name, None)
        if callable(part):
            found: Callable[[Tensor], Any] = part
            return found
    return _way_down(getattr(network, "model", None))


class PooledEncoder(nn.Module):
    """(B, C, *size) -> (B, D): the mean over all places of the deepest features.

    Args:
        inside: gives features (B, D, *grid), tokens (B, N, D) or vectors (B, D), or several of them.
    """

    def __init__(self, inside: Callable[[Tensor], Any]) -> None:
        super().__init__()
        owner = inside if isinstance(inside, nn.Module) else getattr(inside, "__self__", None)
        self.owner = owner if isinstance(owner, nn.Module) else None  # registered, so that it moves to the GPU
        self._method = None if isinstance(inside, nn.Module) else getattr(inside, "__name__", "")

    def forward(self, images: Tensor) -> Tensor:
        assert self.owner is not None
        output = self.owner(images) if self._method is None else getattr(self.owner, self._method)(images)
        features = min(_tensors(output), key=_places)
        if features.ndim == 2:
            return features
        return features.mean(dim=1) if features.ndim == 3 else features.flatten(start_dim=2).mean(dim=2)


def _way_down(model: Any) -> nn.Module | None:
    """The blocks of MONAI's ``UNet`` from the image to the bottom: it nests [down, [rest], up]."""
    blocks = []
    while isinstance(model, nn.Sequential) and len(model) == 3 and isinstance(model[1], SkipConnection):
        blocks.append(model[0])
        model = model[1].submodule
    return nn.Sequential(*blocks, model) if blocks and isinstance(model, nn.Module) else None


def _places(features: Tensor) -> int:
    return 1 if features.ndim == 2 else features.shape[1] if features.ndim == 3 else features[0, 0].numel()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        if output.ndim >= 2:
            yield output
    elif isinstance(output, Mapping):
        yield from _tensors(list(output.values()))
    elif isinstance(output, (list, tuple)):
        for item in output:
            yield from _tensors(item)
