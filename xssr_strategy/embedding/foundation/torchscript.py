"""A network of one's own, as a TorchScript file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from xssr_strategy.embedding.encoder import Encoder, EncoderOptions, Foundation, register_foundation
from xssr_strategy.embedding.foundation.frozen import FrozenEncoder, FrozenNetwork
from xssr_strategy.embedding.foundation.weights import digest_of
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset

_SIZE = 224


def check_file(text: str) -> str:
    """The path of a file, in full.

    Raises:
        ValueError: there is none; what is allowed.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return str(path.resolve())
    raise ValueError("torchscript:FILE with a file that exists")


def torchscript(argument: str, preset: Preset, options: EncoderOptions) -> Encoder:
    """What ``torch.jit.script(model)`` or ``torch.jit.trace(model, images)`` saved.

    The file maps images (B, 3, 224, 224), or (B, 1, 224, 224) if it takes no others, with values in [0, 1] to vectors
    (B, D), for any B. What else it wants, such as a mean to be subtracted, is its own business: nothing else is done.

    Raises:
        UserError: the file is missing, damaged, or maps to something else.
    """
    file = Path(argument)
    name = f"torchscript:{argument}"
    try:
        network = torch.jit.load(file, map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"{file}: is damaged, missing or no TorchScript file; write one with torch.jit.script(model).save(FILE)."
        ) from error
    channels = next((count for count in (3, 1) if _takes(network, count)), None)
    if channels is None:
        raise UserError(
            f"{file}: must map images (B, 3, {_SIZE}, {_SIZE}) or (B, 1, {_SIZE}, {_SIZE}) to vectors (B, D) "
            "and does not; script a model that does."
        )
    plain = ((0.0,) * channels, (1.0,) * channels)
    frozen = FrozenNetwork(network, f"torchscript:{digest_of(file)}", 2, channels, _SIZE, *plain)
    return FrozenEncoder(name, frozen, preset, options)


def _takes(network: torch.nn.Module, channels: int) -> bool:
    try:
        with torch.inference_mode():
            vectors = network(torch.zeros(2, channels, _SIZE, _SIZE))
    except RuntimeError:  # whatever goes wrong inside a script
        return False
    return isinstance(vectors, Tensor) and vectors.ndim == 2 and len(vectors) == 2


register_foundation(Foundation("torchscript:FILE", torchscript, check_file, takes_weights=False))
