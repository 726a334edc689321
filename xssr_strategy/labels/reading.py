"""Annotations: read, checked against their image, and left out if they cannot be used."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

from xssr_strategy.errors import UserError
from xssr_strategy.images.nifti import FROM_OTHER
from xssr_strategy.images.preprocessing import TO_RAS, conform, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.formats import refuse_lossy_format
from xssr_strategy.labels.values import checked_numbers, remark

logger = logging.getLogger(__name__)

AFFINE_TOLERANCE = 0.1  # our choice, in voxels: how far a corner of the label may lie from the image's


@dataclass(frozen=True)
class LabelledImage:
    """A checked pair of files.

    Attributes:
        image, label: their paths.
        shape, spacing: of the image, in pixels and mm, in RAS if 3-D.
        remark: what is odd about the label; empty if nothing is.
    """

    image: str
    label: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    remark: str = ""


def read_label(path: str | Path, labels: Sequence[str], image: MetaTensor) -> Tensor:
    """Read the label of an image.

    Args:
        path: label file; it may store its axes in another order than the image's file as long as both describe the
            same voxels in space.
        labels: names of the labels. With one, any number but zero is foreground; with several, i is
            ``labels[i - 1]``.
        image: the image after ``conform``.

    Returns:
        uint8 (1, *spatial) on the grid of ``image``; all zero if nothing was drawn.

    Raises:
        UserError: unreadable, of a format that changes numbers (JPEG), of another shape or place than the image, or
            with values that are no label.
    """
    return _numbers(path, _stored(path, image), labels)


def examine_label(path: str | Path, labels: Sequence[str], image: MetaTensor) -> str:
    """What is odd about a label that can be used; empty if nothing is. Arguments and errors as :func:`read_label`."""
    stored = _stored(path, image)
    _numbers(path, stored, labels)
    return remark(stored, labels)


def usable_pairs(
    datalist: Sequence[Mapping[str, str]], preset: Preset, labels: Sequence[str]
) -> tuple[list[LabelledImage], list[tuple[str, str]]]:
    """Read every pair once and keep those that can be trained on; one log line for each that is left out or odd.

    Args:
        datalist: mappings with the paths ``image`` and ``label``.

    Returns:
        The usable pairs, sorted by image path so that the order of the datastore does not matter, and
        (path of the label, reason) of the others.

    Raises:
        UserError: there is no usable pair.
    """
    good, bad = examined_pairs(datalist, preset, labels)
    if not good:
        raise no_usable_label(bad)
    return good, bad


def no_usable_label(bad: Sequence[tuple[str, str]]) -> UserError:
    """That there is nothing to train on, and the first of the reasons."""
    reason = f"; the first problem: {bad[0][1]}" if bad else ""
    return UserError(f"there is no usable label to train on: annotate and submit at least one image{reason}")


def examined_pairs(
    datalist: Sequence[Mapping[str, str]], preset: Preset, labels: Sequence[str]
) -> tuple[list[LabelledImage], list[tuple[str, str]]]:
    """As :func:`usable_pairs`, but there may be none."""
    good: list[LabelledImage] = []
    bad: list[tuple[str, str]] = []
    for pair in sorted(datalist, key=lambda pair: pair["image"]):
        try:
            image = conform(read_image(pair["image"]), preset, pair["image"])
            odd = examine_label(pair["label"], labels, image)
        except UserError as error:
            bad.append((pair["label"], str(error)))
            logger.warning("left out of the training: %s", error)
            continue
        if odd:
            logger.warning("trained on: %s: %s", pair["label"], odd)
        good.append(LabelledImage(pair["image"], pair["label"], tuple(image.shape[1:]), spacing_of(image), odd))
    return good, bad


def _stored(path: str | Path, image: MetaTensor) -> NDArray[np.float32]:
    """The values of a label file, (1, *spatial) on the grid of its image."""
    refuse_lossy_format(Path(path))
    candidates = list(_placed(read_image(path), image))
    label = next((one for one in candidates if _fits(one, image)), candidates[0])
    if label.shape[1:] != image.shape[1:]:
        raise UserError(
            f"{path}: the label is {_sides(label)} but its image is {_sides(image)}; draw it on the image itself"
        )
    if not _fits(label, image):
        raise UserError(f"{path}: the label lies elsewhere in space than its image; save it on the image's own grid")
    values = label.as_tensor()
    if not (values == values[:1]).all():
        raise UserError(f"{path}: the label is a colour image; save it as one channel of label numbers")
    return values[:1].numpy()


def _placed(label: MetaTensor, image: MetaTensor) -> Iterator[MetaTensor]:
    """The label where it lies, in RAS if it is a volume; then where it lies if another library read image and label.

    A label that was drawn in a viewer fits by the first. By the second fits one that a program wrote with nibabel's
    affine of the image, or of a tilted series that ITK had made square. Both are on the voxels of the image.
    """
    if label.ndim != 4:
        yield label
        return
    yield cast(MetaTensor, TO_RAS(label))
    of_label, of_image = (one.meta.get(FROM_OTHER, np.eye(4)) for one in (label, image))
    if not np.array_equal(of_label, of_image):
        affine = of_image @ np.linalg.inv(of_label) @ label.affine.numpy()
        yield cast(MetaTensor, TO_RAS(MetaTensor(label.as_tensor(), affine=affine)))


def _fits(label: MetaTensor, image: MetaTensor) -> bool:
    return label.shape[1:] == image.shape[1:] and (image.ndim != 4 or _corner_shift(label, image) <= AFFINE_TOLERANCE)


def _numbers(path: str | Path, stored: NDArray[np.float32], labels: Sequence[str]) -> Tensor:
    try:
        return torch.from_numpy(checked_numbers(stored, labels))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _sides(image: Tensor) -> str:
    return " x ".join(str(side) for side in image.shape[1:])


def _corner_shift(label: MetaTensor, image: MetaTensor) -> float:
    """Largest distance between corresponding corner voxels, in voxels of the image's finest axis."""
    corners = torch.tensor(
        [[*corner, 1] for corner in itertools.product(*((0, side - 1) for side in image.shape[1:]))],
        dtype=torch.float64,
    )
    shift = corners @ (label.affine - image.affine).to(torch.float64).T
    return float(torch.linalg.vector_norm(shift, dim=1).max()) / min(spacing_of(image))
