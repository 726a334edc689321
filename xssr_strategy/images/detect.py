"""Which preset suits a folder of images: a guess from a few of them, made when nobody named one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from monai.data import MetaTensor

from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.images.reading import UnreadableImage, read_image

_AIR_HU = -500.0  # our choice: air is -1000 HU, fat about -100, so a CT crop with lung or surroundings goes below


def preset_by_name(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UserError: there is none.
    """
    if name not in PRESETS:
        raise UserError(f"preset '{name}' does not exist; use one of {', '.join(PRESETS)}")
    return PRESETS[name]


def detect_preset(paths: Sequence[Path], limit: int = 8, read: Callable[[Path], MetaTensor] = read_image) -> Preset:
    """The preset that suits most of up to ``limit`` readable images, taken evenly from the list.

    2-D: fundus if colour, else xray. 3-D: ct if the values are whole numbers that reach down to air in Hounsfield
    units, else mri. Among images of both kinds the more frequent number of dimensions wins, 3-D on a tie; then the
    more frequent preset.

    Args:
        paths: image files or series directories.
        limit: how many images are read at most, unreadable ones not counted.
        read: of one file; as ``read_image``.

    Raises:
        UserError: the list is empty or none of its images is readable.
    """
    if not paths:
        raise UserError("there is no image to guess the preset from; add images or name one with --conf preset")
    votes: list[Preset] = []
    first_error: UnreadableImage | None = None
    for path in _evenly(paths, limit):
        if len(votes) == limit:
            break
        try:
            votes.append(_suits(read(path)))
        except UnreadableImage as error:
            first_error = first_error or error
    if not votes:
        raise UserError(f"none of the {len(paths)} images can be read: {first_error}") from first_error
    volumes = [preset for preset in votes if preset.spatial_dims == 3]
    flat = [preset for preset in votes if preset.spatial_dims == 2]
    return Counter(volumes if len(volumes) >= len(flat) else flat).most_common(1)[0][0]


def _evenly(paths: Sequence[Path], limit: int) -> list[Path]:
    """All paths, an even choice of ``limit`` first; the others replace those that cannot be read."""
    count = min(limit, len(paths))
    chosen = [index * len(paths) // count for index in range(count)]
    others = sorted(set(range(len(paths))) - set(chosen))
    return [paths[index] for index in [*chosen, *others]]


def _suits(image: MetaTensor) -> Preset:
    pixels = image.as_tensor()
    if pixels.ndim == 3:
        coloured = pixels.shape[0] >= 3 and not (
            torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[1], pixels[2])
        )
        return PRESETS["fundus" if coloured else "xray"]
    hounsfield = bool(pixels.min() <= _AIR_HU) and torch.equal(pixels, pixels.round())
    return PRESETS["ct" if hounsfield else "mri"]
