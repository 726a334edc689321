"""A network that was trained elsewhere, as an encoder: its input made to measure, its slices pooled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xssr_strategy.embedding.encoder import Encoder, EncoderOptions, short_name
from xssr_strategy.errors import UserError
from xssr_strategy.images.pictures import plane_of
from xssr_strategy.images.preprocessing import encoder_input
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.slices import slices_input

_SLICES_IN_MEMORY = 144  # in a batch: 29 MB of grey at 224 pixels (our choice)
_AT_ONCE = 16  # slices in one pass of the network; a volume passes alone (our choice)
_PROBLEMS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, AttributeError, NotImplementedError)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class FrozenNetwork:
    """A network as its source gives it.

    Attributes:
        module: (B, channels, size, ...) -> (B, D).
        identity: source and digest of the weights; two networks of the same identity give the same vectors.
        spatial_dims: 2 or 3.
        channels: 1 or 3.
        size: side of its square or cube, in pixels.
        mean, std: of each channel, subtracted from and divided out of values in [0, 1].
    """

    module: nn.Module
    identity: str
    spatial_dims: int
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class FrozenEncoder(Encoder):
    """A network with fixed weights; a 2-D one sees a volume as slices, whose vectors are pooled.

    Args:
        name: as in ``--conf encoder``.
        network: with its weights.
        preset: kind of image.
        options: slices and pooling; the weights are in the network already.

    Raises:
        UserError: the network is for volumes and the images are 2-D, or it does not give a vector.

    >>> from xssr_strategy.embedding.foundation.frozen import FrozenEncoder, FrozenNetwork
    >>> from xssr_strategy.images.preset import PRESETS
    >>> pooled = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())  # (B, 1, 8, 8) -> (B, 4)
    >>> network = FrozenNetwork(pooled, "mean of quarters", 2, channels=1, size=8, mean=(0.0,), std=(1.0,))
    >>> encoder = FrozenEncoder("quarters", network, PRESETS["mri"], EncoderOptions(slices=3, pooling="max"))
    >>> encoder.encode(torch.zeros(2, 3, 1, 8, 8)).shape  # two volumes, three slices of each, whose vectors are pooled
    torch.Size([2, 4])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, network: FrozenNetwork, preset: Preset, options: EncoderOptions) -> None:
        super().__init__()
        if network.spatial_dims > preset.spatial_dims:
            raise UserError(
                f"encoder {name}: is for volumes, but preset '{preset.name}' is for 2-D images; choose another encoder."
            )
        self.name, self.options = name, options
        self.network = network.module.eval()
        for weight in self.network.parameters():
            weight.requires_grad = False
        self._spatial_dims, self._channels, self._size = network.spatial_dims, network.channels, network.size
        self._slices = options.slices if network.spatial_dims < preset.spatial_dims else 1
        self.batch_size = min(Encoder.batch_size, max(1, _SLICES_IN_MEMORY // self._slices))
        shape = (1, -1, *[1] * network.spatial_dims)
        self.register_buffer("mean", torch.tensor(network.mean).view(shape))
        self.register_buffer("std", torch.tensor(network.std).view(shape))
        seen = (preset.window, preset.percentiles, preset.channels, preset.spatial_dims)
        told = (self._slices, options.pooling) if self._slices > 1 else ()
        digest = hashlib.sha256(repr((network.identity, network.size, network.mean, network.std, seen, told)).encode())
        self.id = f"{short_name(name)}-{digest.hexdigest()[:12]}"
        self.dim = self._dim_of_a_trial()

    def reference(self) -> dict[str, Any]:
        """What the encoder is built from again, as JSON knows it, and its id at present."""
        weights = self.options.weights
        return {
            "id": self.id,
            "weights": None if weights is None else str(weights),
            "slices": self.options.slices,
            "pooling": self.options.pooling,
        }

    def read(self, path: Path, preset: Preset) -> Tensor:
        """(S, C, size, ...) in [0, 1]: S slices of a volume, or one image or volume as a whole; C as the preset's."""
        if self._spatial_dims == 3:
            return encoder_input(path, replace(preset, encoder_size=self._size)).unsqueeze(0)
        return slices_input(path, preset, self._size, self._slices)

    def picture(self, values: Tensor) -> Tensor:
        """The middle one of the slices, which are upright, or a slice of the volume."""
        return plane_of(values[0]) if self._spatial_dims == 3 else values[len(values) // 2]

    def encode(self, images: Tensor) -> Tensor:
        """(B, S, C, size, ...) -> (B, dim), the mean or maximum over the S slices."""
        parts = images.flatten(end_dim=1).split(_AT_ONCE if self._spatial_dims == 2 else 1)
        vectors = torch.cat([self._forward(part) for part in parts]).unflatten(0, images.shape[:2])
        return vectors.amax(dim=1) if self.options.pooling == "max" else vectors.mean(dim=1)

    def _forward(self, images: Tensor) -> Tensor:
        """(N, C, size, ...) -> (N, dim); grey is repeated for a network of colours, colours are averaged for grey."""
        if images.shape[1] > self._channels:
            images = images.mean(dim=1, keepdim=True)
        images = images.expand(-1, self._channels, *images.shape[2:])
        vectors: Tensor = self.network((images - self.mean) / self.std)
        return vectors

    def _dim_of_a_trial(self) -> int:
        blank = torch.zeros(2, 1, *[self._size] * self._spatial_dims)
        try:
            with torch.inference_mode():
                vectors = self._forward(blank)
            shape = tuple(vectors.shape)
        except _PROBLEMS as error:
            raise UserError(
                f"encoder {self.name}: fails on an image of {self._size} pixels ({first_line(error)}); "
                "choose another encoder."
            ) from error
        if len(shape) != 2 or shape[0] != 2 or shape[1] == 0:
            raise UserError(f"encoder {self.name}: gives {shape} of 2 images, not a vector each; choose another.")
        if not torch.isfinite(vectors).all():
            raise UserError(
                f"encoder {self.name}: gives values that are not finite, so its weights are damaged; "
                "fetch the file again."
            )
        return shape[1]


def first_line(error: Exception) -> str:
    """The first line of an error's text, at most 120 characters of it, for a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120].rstrip(". ")
