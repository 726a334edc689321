"""What an encoder is, and the registry in which each is found by name."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import torch
from torch import Tensor, nn

from xssr_strategy.embedding.augmentation import augment
from xssr_strategy.errors import UserError
from xssr_strategy.images.pictures import plane_of
from xssr_strategy.images.preprocessing import encoder_input
from xssr_strategy.images.preset import Preset


class Encoder(nn.Module, ABC):
    """Maps a batch of what ``read`` gives of images to vectors (B, ``dim``).

    Attributes:
        dim: numbers in a vector.
        batch_size: images that are encoded, and written to the store, at once.

    >>> import torch
    >>> from xssr_strategy.embedding.encoder import Encoder
    >>> class MeanGrey(Encoder):
    ...     dim = 1
    ...
    ...     def encode(self, images):
    ...         return images.flatten(start_dim=1).mean(dim=1, keepdim=True)
    >>> MeanGrey().encode(torch.tensor([[[[0.0, 1.0]]], [[[1.0, 1.0]]]])).tolist()  # two images of one channel
    [[0.5], [1.0]]
    """

    dim: int
    batch_size: int = 16

    def read(self, path: Path, preset: Preset) -> Tensor:
        """What the encoder sees of a file: (C, size, ...) in [0, 1], unless the encoder says otherwise.

        Runs in a thread, of several images at a time.

        Raises:
            UnreadableImage: as ``encoder_input``.
        """
        return encoder_input(path, preset)

    def picture(self, values: Tensor) -> Tensor:
        """(C, rows, columns), upright, of what ``read`` gave of one image; of a volume a slice in its middle."""
        return plane_of(values)

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """(B, C, size, ...) -> (B, dim), without augmentation or masking."""


@dataclass(frozen=True)
class TrainingSettings:
    """Our choice, sized for two CPU cores, except where a source is named.

    Attributes:
        steps: optimisation steps.
        batch_size: images per step.
        learning_rate: peak of the cosine schedule of AdamW.
        weight_decay: of AdamW.
        mask_ratio: share of hidden patches of a masked autoencoder (He et al. 2021).
        seed: of the weights, of all that is drawn, and of the order of the images.
    """

    steps: int = 800
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    mask_ratio: float = 0.75
    seed: int = 0


@dataclass(frozen=True)
class TrainingBatch:
    """What a step learns from.

    Attributes:
        images: (B, *input_shape) in [0, 1].
        scans: int64 (B,), the same number for images of one scan or patient, and for the same image.
        organ: int8 (B, S), 1 where a slice holds a label, 0 where it holds none, -1 where nobody knows; None for an
            encoder that learns without labels.
    """

    images: Tensor
    scans: Tensor
    organ: Tensor | None = None


class TrainedEncoder(Encoder):
    """An encoder that is trained here.

    Attributes:
        slices: of a volume that it looks at, of which labels are told; 0 for an encoder that learns without labels.
        tells_scans: whether it learns which images are of one scan or patient; then batches hold two of each.
    """

    slices: int = 0
    tells_scans: bool = False

    def input_shape(self, preset: Preset) -> tuple[int, ...]:
        """Of what ``read`` gives of an image."""
        return (preset.channels, *[preset.encoder_size] * preset.spatial_dims)

    @abstractmethod
    def training_loss(self, batch: TrainingBatch, settings: TrainingSettings) -> Tensor:
        """What a step makes smaller, a scalar; it augments the images itself.

        All that is random is drawn from torch's global generator.
        """


class MaskedAutoencoder(TrainedEncoder):
    """An encoder that is trained by reconstructing hidden patches (He et al. 2021, arXiv 2111.06377)."""

    def training_loss(self, batch: TrainingBatch, settings: TrainingSettings) -> Tensor:
        """That of slightly rotated, scaled, shifted and mirrored images."""
        return self.masked_loss(augment(batch.images), settings.mask_ratio)

    @abstractmethod
    def masked_loss(self, images: Tensor, mask_ratio: float) -> Tensor:
        """Mean squared error on the hidden pixels only, a scalar.

        The hidden patches are drawn from torch's global generator.
        """


@dataclass(frozen=True)
class EncoderOptions:
    """What a foundation encoder is told; an encoder that is trained here heeds none of it.

    Attributes:
        weights: file of its weights; None for those that its library keeps or fetches.
        slices: transverse slices that a 2-D network sees of a volume (9 is our choice).
        pooling: how the vectors of the slices become one (the mean is our choice).
    """

    weights: Path | None = None
    slices: int = 9
    pooling: Literal["mean", "max"] = "mean"


@dataclass(frozen=True)
class Foundation:
    """A kind of encoder whose weights were trained elsewhere and stay as they are.

    Attributes:
        shown: its name, as lists show it; with an argument, such as ``timm:NAME``.
        build: (argument, preset, options) -> encoder.
        check: argument -> the same in full; a ValueError says what is allowed.
        takes_weights: whether a file of weights may be named beside it.
    """

    shown: str
    build: Callable[[str, Preset, EncoderOptions], Encoder]
    check: Callable[[str], str] = lambda argument: argument
    takes_weights: bool = True


Told = Literal["labels", "scans"]
"""What an encoder learns from beside images: labels of the source, or which images are of one scan or patient."""

_TRAINED: dict[str, Callable[[Preset], Encoder]] = {}
_TOLD: dict[str, frozenset[Told]] = {}
_FOUNDATIONS: dict[str, Foundation] = {}


def register(
    name: str, told: Collection[Told] = ()
) -> Callable[[Callable[[Preset], Encoder]], Callable[[Preset], Encoder]]:
    """Decorator: make the factory ``preset -> encoder`` known as ``--conf encoder name``.

    Args:
        name: of the encoder.
        told: what its training needs beside images.
    """

    def keep(factory: Callable[[Preset], Encoder]) -> Callable[[Preset], Encoder]:
        _TRAINED[name] = factory
        _TOLD[name] = frozenset(told)
        return factory

    return keep


def register_foundation(foundation: Foundation) -> None:
    """Make a foundation encoder known as ``--conf encoder NAME`` or ``NAME:ARGUMENT``."""
    _FOUNDATIONS[foundation.shown.partition(":")[0]] = foundation


def trained_encoders() -> tuple[str, ...]:
    """The encoders that are trained here, sorted."""
    return tuple(sorted(_TRAINED))


def encoder_names() -> tuple[str, ...]:
    """Every name, sorted; where an argument follows a colon, a word in capitals says what."""
    return tuple(sorted([*_TRAINED, *(foundation.shown for foundation in _FOUNDATIONS.values())]))


def parse_encoder(text: str) -> str:
    """The encoder that a text names; paths in it are made absolute.

    Raises:
        ValueError: there is no such encoder; what is allowed.
        UserError: a library that it needs is not installed.

    >>> from xssr_strategy.embedding import catalogue  # makes the encoders known
    >>> parse_encoder("vit_mae")
    'vit_mae'
    >>> parse_encoder("resnet")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: one of conv_mae, ...
    """
    if text in _TRAINED:
        return text
    kind, colon, argument = text.partition(":")
    foundation = _FOUNDATIONS.get(kind)
    if foundation is None or (":" in foundation.shown) != bool(colon) or bool(colon) != bool(argument):
        raise ValueError("one of " + ", ".join(encoder_names()))
    return f"{kind}{colon}{foundation.check(argument)}"


def is_foundation(name: str) -> bool:
    """Whether the encoder of this name is used as it is, never trained here.

    >>> from xssr_strategy.embedding import catalogue  # makes the encoders known
    >>> is_foundation("conv_mae"), is_foundation("timm:resnet50")
    (False, True)
    """
    return name.partition(":")[0] in _FOUNDATIONS


def learns_from(name: str) -> frozenset[Told]:
    """What the encoder of this name learns from beside images.

    >>> from xssr_strategy.embedding import catalogue  # makes the encoders known
    >>> learns_from("conv_mae"), learns_from("poly_cl_organ")
    (frozenset(), frozenset({'labels'}))
    """
    return _TOLD.get(name, frozenset())


def takes_weights(name: str) -> bool:
    """Whether a file of weights may be named for the encoder of this name."""
    return is_foundation(name) and _FOUNDATIONS[name.partition(":")[0]].takes_weights


def short_name(name: str) -> str:
    """A name for files and ids: of a path its last part, and nothing that a file name cannot hold.

    >>> short_name("conv_mae"), short_name("torchscript:/models/my network.pt")
    ('conv_mae', 'torchscript-my_network.pt')
    """
    kind, colon, argument = name.partition(":")
    return re.sub(r"[^\w.-]+", "_", f"{kind}-{PurePath(argument).name}" if colon else kind)


def build_encoder(name: str, preset: Preset, seed: int = 0, options: EncoderOptions = EncoderOptions()) -> Encoder:
    """A new encoder with weights drawn from ``seed``, or a foundation encoder with its own.

    Raises:
        UserError: there is no such encoder, or its weights or library are missing or wrong.

    >>> from dataclasses import replace
    >>> import torch
    >>> from xssr_strategy.embedding.catalogue import build_encoder
    >>> from xssr_strategy.images.preset import PRESETS
    >>> small = replace(PRESETS["xray"], encoder_size=32, encoder_patch=8, encoder_channels=(8, 16))
    >>> encoder = build_encoder("conv_mae", small, seed=1)
    >>> encoder.encode(torch.zeros(4, 1, 32, 32)).shape  # four images, a vector each
    torch.Size([4, 16])
    """
    if is_foundation(name):
        kind, _, argument = name.partition(":")
        return _FOUNDATIONS[kind].build(argument, preset, options)
    if name not in _TRAINED:
        raise UserError(f"encoder '{name}' is not known: choose one of {', '.join(encoder_names())}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _TRAINED[name](preset)


def normalised(images: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1], so that a hidden patch (0) is mid-grey and not background.

    >>> normalised(torch.tensor([0.0, 0.5, 1.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return images * 2.0 - 1.0
