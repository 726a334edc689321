"""Pictures of images for the report: small ones, and ones with the outlines of truth and prediction."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.data import MetaTensor
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xssr_strategy.images.pictures import flat, grey_values, middle_slice, upright
from xssr_strategy.images.preprocessing import conform, fit, scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage, read_image

THUMBNAIL, OVERLAY = 96, 256
"""Sides in pixels; our choice."""

# Bright and solid, dark and dashed: told apart in greyscale too, and by the common kinds of colour blindness.
TRUTH, PREDICTION = "#F0E442", "#D55E00"
_LABELS = (TRUTH, "#56B4E9", PREDICTION, "#CC79A7", "#009E73", "#E69F00")  # of Okabe and Ito's colours, the light ones

_LINE, _SHADE = 0.55, 0.9  # widths in points
_DASH = (1.43, 0.88)  # on and off in points; matplotlib counts in line widths
_PLACEHOLDER = 190  # grey value


def thumbnail(path: str | Path, preset: Preset) -> str:
    """An image file as a data URI of a square PNG; of a volume its middle slice; plain grey if it cannot be read."""
    try:
        image = conform(read_image(path), preset, path)
    except UnreadableImage:
        return data_uri(_png(np.full((THUMBNAIL, THUMBNAIL, 1), _PLACEHOLDER, dtype=np.uint8)))
    spacing, scaled = spacing_of(image)[:2], scale_intensity(image.as_tensor(), preset)
    shown = fit(middle_slice(scaled), THUMBNAIL, spacing)
    return data_uri(_png(grey_values(upright(shown, image.ndim - 1))))


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """Of several labels the colour of each one's outlines; with more than six they come again.

    >>> label_colours(["anterior", "posterior"])
    {'anterior': '#F0E442', 'posterior': '#56B4E9'}
    >>> label_colours(["lung"])  # outlines have the colour of the truth, or that of the prediction
    {}
    """
    return dict(zip(labels, itertools.cycle(_LABELS), strict=False)) if len(labels) > 1 else {}


def overlay(
    image: Tensor,
    truth: Tensor | NDArray[np.uint8] | None,
    prediction: Tensor | NDArray[np.uint8],
    labels: Sequence[str],
) -> bytes:
    """An image with the outlines of truth (bright, solid) and prediction (dark, dashed) as a square PNG.

    Several labels have colours of their own, so that two that changed places are seen. Without a truth the prediction
    alone is drawn, as the truth would be.

    Args:
        image: (C, *spatial) in [0, 1], a volume in RAS axes; a MetaTensor keeps its physical proportions.
        truth, prediction: (*spatial) 0 for background, i for ``labels[i - 1]``. Of a volume, the slice is shown in
            which they disagree most; where they agree, or there is no truth, the one in which most is marked; if
            nothing is, the middle one.
        labels: names of the labels.
    """
    spatial_dims = image.ndim - 1
    spacing = spacing_of(image)[:2] if isinstance(image, MetaTensor) else (1.0, 1.0)
    pixels = image.as_tensor() if isinstance(image, MetaTensor) else image
    masks = [torch.as_tensor(mask).cpu() for mask in (truth, prediction) if mask is not None]
    if spatial_dims == 3:
        place = _worst_slice(masks[0], masks[-1])
        pixels, masks = pixels[..., place], [mask[..., place] for mask in masks]
    shown = upright(fit(pixels.cpu(), OVERLAY, spacing), spatial_dims)
    figure = Figure(figsize=(1.0, 1.0), dpi=OVERLAY)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(flat(shown), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    axes.set_axis_off()
    colours = label_colours(labels)
    for mask, alone, dash in zip(masks, (TRUTH, PREDICTION), ((), _DASH), strict=False):
        for value, label in enumerate(labels, start=1):
            share = flat(upright(fit((mask == value)[None], OVERLAY, spacing), spatial_dims))
            if share.min() < 0.5 < share.max():
                for tint, width, opacity in (("black", _SHADE, 0.6), (colours.get(label, alone), _LINE, 1.0)):
                    style: Any = (0.0, tuple(length / width for length in dash)) if dash else "solid"
                    axes.contour(share, [0.5], colors=tint, linestyles=[style], linewidths=width, alpha=opacity)
    file = io.BytesIO()
    canvas.print_png(file)
    return file.getvalue()


def data_uri(png: bytes) -> str:
    """A PNG as the ``src`` of a picture."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _worst_slice(truth: Tensor, prediction: Tensor) -> int:
    """Along the third axis; (X, Y, Z) each."""
    wrong = (truth != prediction).sum(dim=(0, 1))
    shown = wrong if wrong.any() else (truth > 0).sum(dim=(0, 1))
    return int(shown.argmax()) if shown.any() else len(shown) // 2


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """(rows, columns, 1 or 3)."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(flat(pixels))).save(file, "PNG", optimize=True)
    return file.getvalue()
