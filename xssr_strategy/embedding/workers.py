"""What processes beside this one do when a pool is embedded: they read images and give their vectors back."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.embedding.encoder import Encoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.pictures import small_picture
from xssr_strategy.images.reading import UnreadableImage


@dataclass(frozen=True)
class Embedded:
    """What is made of an image.

    Attributes:
        vector: (D,).
        picture: a small one, if asked for.
    """

    vector: NDArray[np.float32]
    picture: bytes | None


def embed_batch(
    encoder: Encoder, images: Mapping[str, Tensor], device: torch.device, pictures: bool
) -> dict[str, Embedded]:
    """Vectors, and pictures if asked for, of images as the encoder reads them."""
    with torch.inference_mode():
        vectors = encoder.encode(torch.stack(list(images.values())).to(device)).float().cpu().numpy()
    seen = {image: small_picture(encoder.picture(values)) for image, values in images.items()} if pictures else {}
    return {image: Embedded(vector, seen.get(image)) for image, vector in zip(images, vectors, strict=True)}


@dataclass(frozen=True)
class EmbeddingFunction:
    """:func:`xssr_strategy.parallel.images.map_images` with an encoder.

    Attributes:
        encoder: checkpoint file.
        encoder_id: of the encoder that is expected there.
        pictures: whether small pictures are made, too.
    """

    encoder: Path
    encoder_id: str
    pictures: bool

    def open(self) -> Callable[[Mapping[str, Path]], Iterator[tuple[str, Embedded | UnreadableImage]]]:
        """Load the encoder.

        Raises:
            UserError: the checkpoint cannot be used, or the weights that it names are others here.
        """
        checkpoint = load_encoder(self.encoder)
        if checkpoint.id != self.encoder_id:
            raise UserError(
                f"{self.encoder}: on {socket.gethostname()} the encoder has other weights ({checkpoint.id} in place of "
                f"{self.encoder_id}); name the same file of weights for all machines."
            )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoder = checkpoint.encoder.to(device)
        read = partial(encoder.read, preset=checkpoint.preset)

        def embed(images: Mapping[str, Path]) -> Iterator[tuple[str, Embedded | UnreadableImage]]:
            values: dict[str, Tensor] = {}
            for image, found in read_ahead(images, read, ahead=len(images)):
                if isinstance(found, UnreadableImage):
                    yield image, found
                else:
                    values[image] = found
            if values:
                yield from embed_batch(encoder, values, device, self.pictures).items()

        return embed
