"""What an encoder is, and the registry in which each is found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset


class Encoder(nn.Module, ABC):
    """Maps a batch of images (B, C, size, ...) in [0, 1] to vectors (B, ``dim``)."""

    dim: int

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """(B, C, size, ...) -> (B, dim), without augmentation or masking."""


class MaskedAutoencoder(Encoder):
    """An encoder that is trained by reconstructing hidden patches (He et al. 2021, arXiv 2111.06377)."""

    @abstractmethod
    def masked_loss(self, images: Tensor, mask_ratio: float) -> Tensor:
        """Mean squared error on the hidden pixels only, a scalar.

        The hidden patches are drawn from torch's global generator.
        """


_REGISTRY: dict[str, Callable[[Preset], Encoder]] = {}


def register(name: str) -> Callable[[Callable[[Preset], Encoder]], Callable[[Preset], Encoder]]:
    """Decorator: make the factory ``preset -> encoder`` known as ``--conf encoder name``."""

    def keep(factory: Callable[[Preset], Encoder]) -> Callable[[Preset], Encoder]:
        _REGISTRY[name] = factory
        return factory

    return keep


def encoder_names() -> tuple[str, ...]:
    """The registered names, sorted."""
    return tuple(sorted(_REGISTRY))


def build_encoder(name: str, preset: Preset, seed: int = 0) -> Encoder:
    """A new encoder with weights drawn from ``seed``.

    Raises:
        UserError: the name is not registered.
    """
    if name not in _REGISTRY:
        raise UserError(f"encoder '{name}' is not known: choose one of {', '.join(encoder_names())}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _REGISTRY[name](preset)


def normalised(images: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], so that a hidden patch (0) is mid-grey and not background."""
    return images * 2.0 - 1.0
