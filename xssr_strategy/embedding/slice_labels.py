"""Which slices of labelled images hold a label, for encoders that learn from that."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import conform, memory_told
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.images.slices import slice_positions
from xssr_strategy.labels.reading import names_of, read_label
from xssr_strategy.labels.values import IGNORED

logger = logging.getLogger(__name__)


def slices_that_hold_labels(
    images: Sequence[Path], pairs: Sequence[Mapping[str, str]], labels: Sequence[str], preset: Preset, slices: int
) -> NDArray[np.int8]:
    """Look at the slices that ``slices_input`` takes of each image; a label that cannot be used is left out.

    Args:
        images: paths.
        pairs: labelled images, as ``labelled_pair`` makes them.
        labels: names of the labels.
        preset: kind of image.
        slices: of a volume.

    Returns:
        (N, slices): 1 where a slice holds a label, 0 where it holds none, -1 without a label of the image.
    """
    known = {Path(pair["image"]).resolve(): pair for pair in pairs}
    found = np.full((len(images), slices), -1, dtype=np.int8)
    for row, image in enumerate(images):
        pair = known.get(image.resolve())
        if pair is not None:
            try:
                found[row] = _held(image, pair, labels, preset, slices)
            except UserError as error:
                logger.warning("Left out of what the encoder learns from: %s", error)
    return found


def _held(
    image: Path, pair: Mapping[str, str], labels: Sequence[str], preset: Preset, slices: int
) -> NDArray[np.bool_]:
    with memory_told(image):
        numbers = read_label(pair["label"], labels, conform(read_image(image), preset, image), names_of(pair))[0]
        drawn = (numbers > 0) & (numbers != IGNORED)
        if preset.spatial_dims == 2:
            return np.array([bool(drawn.any())])
        chosen = drawn[..., slice_positions(drawn.shape[-1], slices)]
        held: NDArray[np.bool_] = chosen.flatten(end_dim=1).any(dim=0).numpy()
        return held
