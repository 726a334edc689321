"""Annotations: read, checked against their image, and left out if they cannot be used."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

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
from xssr_strategy.labels.formats import read_numbers
from xssr_strategy.labels.names import numbers_by_name, tells_apart, with_ignore
from xssr_strategy.labels.segments import file_segments, merged
from xssr_strategy.labels.values import IGNORED, checked_numbers, remark

logger = logging.getLogger(__name__)

AFFINE_TOLERANCE = 0.1  # our choice, in voxels: how far a corner of the label may lie from the image's


@dataclass(frozen=True)
class LabelledImage:
    """A checked pair of files.

    Attributes:
        image, label: their paths.
        shape, spacing: of the image, in pixels and mm, in RAS if 3-D.
        remark: what is odd about the label; empty if nothing is.
        names: of the numbers in the label's file, as it was written; empty if nobody noted them.
        whole: whether somebody has looked at every voxel.
        holds: numbers of the labels of which it has any voxel.
    """

    image: str
    label: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    remark: str = ""
    names: tuple[str, ...] = ()
    whole: bool = True
    holds: frozenset[int] = frozenset()

    @property
    def item(self) -> dict[str, str]:
        """The pair as a list of data has it."""
        return labelled_pair(self.image, self.label, self.names)


def labelled_pair(image: str, label: str, names: Sequence[str] = ()) -> dict[str, str]:
    """A pair as lists of data have it: the paths, and ``names`` of the label's numbers where they are known.

    >>> labelled_pair("scan.nii", "mask.nii", ("tumour", "ignore"))
    {'image': 'scan.nii', 'label': 'mask.nii', 'names': '["tumour", "ignore"]'}
    """
    return {"image": image, "label": label, **({"names": json.dumps(names)} if names else {})}


def names_of(pair: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the numbers 1, 2, ... in the label of a pair; empty where they are not known."""
    return tuple(json.loads(pair["names"])) if "names" in pair else ()


def read_label(path: str | Path, labels: Sequence[str], image: MetaTensor, names: Sequence[str] = ()) -> Tensor:
    """Read the label of an image; what the header of a .seg.nrrd says of its numbers comes first.

    Args:
        path: label file; it may store its axes in another order than the image's file as long as both describe the
            same voxels in space.
        labels: names of the labels. With one, any number but zero is foreground; with several, i is
            ``labels[i - 1]``.
        image: the image after ``conform``.
        names: of the numbers in the file, as they were when it was written; by default those of ``labels``.

    Returns:
        uint8 (1, *spatial) on the grid of ``image``; all zero if nothing was drawn, ``IGNORED`` where nobody has
        looked.

    Raises:
        UserError: unreadable, of a format that changes numbers (JPEG), of another shape or place than the image, or
            with values that are no label.
    """
    return torch.from_numpy(_read(path, labels, image, names)[0])


def examine_label(path: str | Path, labels: Sequence[str], image: MetaTensor, names: Sequence[str] = ()) -> str:
    """What is odd about a label that can be used; empty if nothing is. Arguments and errors as :func:`read_label`."""
    return _read(path, labels, image, names)[1]


def usable_pairs(
    datalist: Sequence[Mapping[str, str]], preset: Preset, labels: Sequence[str]
) -> tuple[list[LabelledImage], list[tuple[str, str]]]:
    """Read every pair once and keep those that can be trained on; one log line for each that is left out or odd.

    Args:
        datalist: pairs as :func:`labelled_pair` makes them.

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
            numbers, odd = _read(pair["label"], labels, image, names_of(pair))
        except UserError as error:
            bad.append((pair["label"], str(error)))
            logger.warning("left out of the training: %s", error)
            continue
        if odd:
            logger.warning("trained on: %s: %s", pair["label"], odd)
        shape, spacing = tuple(image.shape[1:]), spacing_of(image)
        whole = not bool((numbers == IGNORED).any())
        holds = frozenset(number for number in range(1, len(labels) + 1) if (numbers == number).any())
        good.append(LabelledImage(pair["image"], pair["label"], shape, spacing, odd, names_of(pair), whole, holds))
    return good, bad


def _read(
    path: str | Path, labels: Sequence[str], image: MetaTensor, names: Sequence[str]
) -> tuple[NDArray[np.uint8], str]:
    """The numbers of a label file, (1, *spatial) on the grid of its image, and what is odd about them."""
    segments = file_segments(Path(path))
    stored = _stored(path, image, layered=bool(segments))
    known = tuple(names) if tells_apart(names) else tuple(labels)
    values: NDArray[Any] = stored
    try:
        if segments:
            plain = known[:-1] if known == with_ignore(known[:-1]) else known
            values, known = merged(stored, segments, plain)[None], with_ignore(plain)
        numbers = checked_numbers(values, known)
        if known != tuple(labels):
            numbers = numbers_by_name(numbers, known, labels)
        ignored = numbers == IGNORED
        if ignored.all():
            raise UserError("is ignored as a whole: there is nothing to learn from; draw what is to be segmented")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    by_number = len(labels) == 1 and not ignored.any()  # several numbers may have been counted as the one label
    return numbers, remark(stored if by_number else np.where(ignored, 0, numbers), labels)


def _stored(path: str | Path, image: MetaTensor, layered: bool) -> NDArray[np.float32]:
    """The values of a label file, (1, *spatial) on the grid of its image, or (layers, *spatial)."""
    candidates = list(_placed(read_numbers(Path(path), layered), image))
    label = next((one for one in candidates if _fits(one, image)), candidates[0])
    if label.shape[1:] != image.shape[1:]:
        raise UserError(
            f"{path}: the label is {_sides(label)} but its image is {_sides(image)}; draw it on the image itself"
        )
    if not _fits(label, image):
        raise UserError(f"{path}: the label lies elsewhere in space than its image; save it on the image's own grid")
    values = label.as_tensor()
    if layered:
        return values.numpy()
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
