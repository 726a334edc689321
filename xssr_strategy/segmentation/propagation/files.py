"""Propagation from the files of a volume and its label, on the voxels of the volume's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import detect_preset
from xssr_strategy.images.preprocessing import conform, scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label
from xssr_strategy.segmentation.geometry import to_file_axes
from xssr_strategy.segmentation.network import without_ignored
from xssr_strategy.segmentation.propagation.engine import PropagationEngine
from xssr_strategy.segmentation.propagation.propagate import Propagation, drawn_axis, propagate

AXES = ("sagittal", "coronal", "transverse")


def read_volume(path: Path) -> MetaTensor:
    """The volume of a file, (C, X, Y, Z) as it is stored.

    Raises:
        UserError: it cannot be read, or is a single slice.
    """
    volume = read_image(path)
    if volume.ndim != 4 or min(volume.shape[1:]) < 2:
        raise UserError(f"{path}: is a single slice; propagation needs a volume.")
    return volume


def propagate_label(
    volume: MetaTensor,
    path: Path,
    label: Path,
    labels: Sequence[str],
    engine: PropagationEngine,
    names: Sequence[str] = (),
    preset: Preset | None = None,
    expected: Callable[[], NDArray[np.uint8] | None] = lambda: None,
    axis: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Propagation:
    """Fill the slices of a volume that nobody drew; what nobody has looked at counts as not drawn.

    Args:
        volume: of :func:`read_volume`.
        path: of its file.
        label: file of its label, on whatever axes.
        labels: names of the labels.
        engine: what follows the masks from slice to slice.
        names: of the numbers in the label's file, by default those of ``labels``.
        preset: kind of image; by default the one that suits.
        expected: gives (X, Y, Z) label numbers by a network, if there is one; called once the label is found good.
        axis: of :data:`AXES`, across which the slices are drawn; by default the one that they seem to be.
        progress: called with (slices done, slices in all).

    Returns:
        On the axes of the volume's file.

    Raises:
        UserError: the label cannot be read or does not fit the volume, or there is nothing to propagate.
    """
    preset = preset or detect_preset([path], read=lambda _: volume)
    image = conform(volume, preset, path)
    drawn, _ = without_ignored(read_label(label, labels, image, names))
    affine = volume.affine.numpy()
    given, spacing = to_file_axes(drawn[0].numpy(), affine), spacing_of(volume)
    across = None if axis is None else orientations(affine).index(axis)
    try:
        drawn_axis(given, spacing)
        grey = to_file_axes(scale_intensity(image.as_tensor(), preset)[0].numpy(), affine)
        del image  # as large as the volume
        return propagate(grey, given, labels, spacing, engine, expected(), across, progress)
    except UserError as error:
        raise UserError(f"{label}: {error}.") from None


def orientations(affine: NDArray[np.float64]) -> list[str]:
    """Of the slices across each axis of a file.

    >>> orientations(np.diag([1.0, -1.0, 3.0, 1.0]))
    ['sagittal', 'coronal', 'transverse']
    """
    return [AXES["RLAPSI".index(code) // 2] for code in nib.aff2axcodes(affine)]
