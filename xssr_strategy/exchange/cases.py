"""Labelled images, written as pairs of files that any program reads alike."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray
from PIL import Image

from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import TO_RAS, memory_told
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import names_of, read_label
from xssr_strategy.labels.values import IGNORED
from xssr_strategy.storage.atomic_files import write_atomic

PICTURE, VOLUME = ".png", ".nii.gz"
_PACKED = 6  # of gzip, as nibabel does it
_SQUARE = 1e-4  # how far axes may be from right angles: ITK, by which nnU-Net reads, refuses others


@dataclass(frozen=True)
class Case:
    """A labelled image as it is written.

    Attributes:
        image: (C, *spatial) stored values; a volume in RAS.
        label: uint8 (*spatial) label numbers; the number after the labels' where nobody has looked.
        affine: (4, 4) of a volume, from voxels to mm; None of a picture.
        ignored: whether somebody has left a part of it out.
    """

    image: NDArray[Any]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64] | None
    ignored: bool

    @property
    def ending(self) -> str:
        """Of its files."""
        return PICTURE if self.affine is None else VOLUME


def read_labelled(pair: Mapping[str, str], labels: Sequence[str]) -> Case:
    """Read an image and its label.

    Args:
        pair: as ``labelled_pair`` makes it.
        labels: names of the labels 1, 2, ...

    Raises:
        UserError: one cannot be used, or no file of the form can hold it.
    """
    path = pair["image"]
    with memory_told(Path(path)):
        image = read_image(path)
        if image.ndim == 4:
            image = cast(MetaTensor, TO_RAS(image))
        label = read_label(pair["label"], labels, image, names_of(pair))[0].numpy()
        values, affine = image.as_tensor().numpy(), None
        ignored = bool((label == IGNORED).any())
        numbers = np.where(label == IGNORED, len(labels) + 1, label).astype(np.uint8)
        if image.ndim == 4:
            affine = np.asarray(image.affine, dtype=np.float64)
            axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
            if not np.allclose(axes.T @ axes, np.eye(3), atol=_SQUARE):
                raise UserError(f"{path}: its axes are not at right angles (a tilted gantry); straighten it first.")
            return Case(_smallest(values, (np.int16, np.int32)), numbers, affine, ignored)
        stored = _smallest(values, (np.uint8, np.uint16))
        if stored.dtype == np.float32 or (len(values) > 1 and stored.dtype != np.uint8) or len(values) not in (1, 3):
            raise UserError(f"{path}: PNG, the form of pictures, cannot hold its values; convert it to 8 or 16 bits.")
        return Case(stored, numbers, None, ignored)


def write_image(case: Case, stem: Path) -> None:
    """Write ``stem_0000``, ``stem_0001``, ... with a channel each, as nnU-Net names them; colours are one file."""
    if case.affine is None:
        _write(case, case.image, stem.with_name(f"{stem.name}_0000{PICTURE}"))
        return
    for number, channel in enumerate(case.image):
        _write(case, channel, stem.with_name(f"{stem.name}_{number:04}{VOLUME}"))


def write_whole(case: Case, stem: Path) -> None:
    """Write one file with all channels, those of a volume along the last axis."""
    volume = case.image[0] if len(case.image) == 1 else np.moveaxis(case.image, 0, -1)
    _write(case, case.image if case.affine is None else volume, stem.with_name(stem.name + case.ending))


def write_label(case: Case, stem: Path) -> None:
    """Write the label."""
    label = case.label[None] if case.affine is None else case.label
    _write(case, label, stem.with_name(stem.name + case.ending))


def _write(case: Case, values: NDArray[Any], file: Path) -> None:
    """A picture (C, x, y), or a volume, whole or not at all."""
    if case.affine is None:
        rows = values.transpose(2, 1, 0) if len(values) > 1 else values[0].T
        picture = BytesIO()
        Image.fromarray(np.ascontiguousarray(rows)).save(picture, format="PNG")
        write_atomic(file, picture.getvalue())
        return
    volume = nib.Nifti1Image(values, case.affine)
    volume.header.set_xyzt_units("mm")
    write_atomic(file, gzip.compress(volume.to_bytes(), compresslevel=_PACKED, mtime=0))


def _smallest(values: NDArray[np.float32], kinds: Sequence[type[np.integer[Any]]]) -> NDArray[Any]:
    """Whole numbers as the first of these kinds that holds them; others stay as they are."""
    if np.array_equal(values, np.rint(values)):
        for kind in kinds:
            if np.iinfo(kind).min <= values.min() and values.max() <= np.iinfo(kind).max:
                return values.astype(kind)
    return values
