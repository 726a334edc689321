"""The geometry on which a network was trained, kept with it so that inference uses the same."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.network import side_multiple


@dataclass(frozen=True)
class SegmentationPlan:
    """What a trained network expects of an image.

    Attributes:
        preset: name of the preset, which fixes channels and grey values.
        spatial_dims: 2 or 3.
        channels: channels of the image.
        labels: names of the labels; label i of the mask is ``labels[i - 1]``.
        spacing: 3-D: voxel size in mm (R, A, S) to which every image is resampled; 2-D: empty.
        roi: sides in pixels of what the network sees at once. A 2-D image is resized to it, whatever its aspect
            ratio: nothing is cut off or padded and the way back is one interpolation; the images of one kind of
            scanner have similar aspect ratios and the augmentation covers the rest. A 3-D image is covered by
            overlapping windows of this size. Two sides for a 3-D image: the network sees transverse slices.
        widths: feature maps of each stage of the encoder around which the network is built; empty for the U-Net.
    """

    preset: str
    spatial_dims: int
    channels: int
    labels: tuple[str, ...]
    spacing: tuple[float, ...]
    roi: tuple[int, ...]
    widths: tuple[int, ...] = ()

    @property
    def network_dims(self) -> int:
        """Of the network: 2 or 3."""
        return len(self.roi)

    def grid_of(self, shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, ...]:
        """Shape to which an image is resampled; both arguments per spatial axis, the spacing in mm."""
        if self.spatial_dims == 2:
            return self.roi
        return _resampled_shape(shape, spacing, self.spacing)


def plan_from(
    pairs: Sequence[LabelledImage], preset: Preset, labels: Sequence[str], min_spacing: float = 0.0
) -> SegmentationPlan:
    """Plan for the labelled images: in 3-D the median spacing, and the median shape as far as the preset allows.

    Args:
        pairs: at least one, from ``usable_pairs``.
        preset: kind of image.
        labels: names of the labels, without the background.
        min_spacing: 3-D: least side of a voxel in mm; finer images are resampled for the network.
    """
    if preset.spatial_dims == 2:
        spacing: tuple[float, ...] = ()
        roi: tuple[int, ...] = (preset.segmentation_size,) * 2
    else:
        # Rounded so that noise in the headers does not cost every image an interpolation.
        medians = np.median([pair.spacing for pair in pairs], axis=0)
        spacing = tuple(max(round(float(value), 4), min_spacing) for value in medians)
        shapes = [_resampled_shape(pair.shape, pair.spacing, spacing) for pair in pairs]
        multiple = side_multiple(preset.spatial_dims)
        sides = _multiples(np.median(shapes, axis=0).tolist(), multiple)
        roi = tuple(min(side, preset.segmentation_roi) for side in sides)
        if max(roi) == multiple:  # the lowest stage of the network would see one voxel, which nothing can normalise
            roi = (2 * multiple,) * len(roi)
    return SegmentationPlan(preset.name, preset.spatial_dims, preset.channels, tuple(labels), spacing, roi)


def of_slices(plan: SegmentationPlan) -> SegmentationPlan:
    """The plan of a 2-D network, which sees the transverse slices of a volume; of pictures the same plan."""
    multiple = side_multiple(2)
    roi = _multiples(plan.roi[:2], multiple)
    return replace(plan, roi=roi if max(roi) > multiple else (2 * multiple,) * 2)


def around_encoder(plan: SegmentationPlan, widths: Sequence[int]) -> SegmentationPlan:
    """The plan of a network around an encoder of these feature maps, each of whose stages halves the sides."""
    multiple = 2 ** len(widths)
    roi = _multiples(plan.roi, multiple)
    roi = roi if max(roi) > multiple else (2 * multiple,) * len(roi)
    return replace(plan, roi=roi, widths=tuple(widths))


def plan_text(plan: SegmentationPlan) -> str:
    """The plan as JSON."""
    return json.dumps(asdict(plan), indent=2) + "\n"


def parse_plan(text: str, path: Path) -> SegmentationPlan:
    """A plan of :func:`plan_text`.

    Args:
        path: the model, named in the error.

    Raises:
        UserError: damaged.
    """
    try:
        values = json.loads(text)
        return SegmentationPlan(
            preset=str(values["preset"]),
            spatial_dims=int(values["spatial_dims"]),
            channels=int(values["channels"]),
            labels=tuple(str(name) for name in values["labels"]),
            spacing=tuple(float(value) for value in values["spacing"]),
            roi=tuple(int(value) for value in values["roi"]),
            widths=tuple(int(value) for value in values.get("widths", ())),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: the plan of the segmentation model is damaged; train again") from error


def check_plan(plan: SegmentationPlan, preset: Preset, labels: Sequence[str]) -> None:
    """Refuse a model that was trained under other settings than those of the server.

    Raises:
        UserError: other labels or another preset.
    """
    for key, trained, now in (
        ("labels", ",".join(plan.labels), ",".join(labels)),
        ("preset", plan.preset, preset.name),
    ):
        if trained != now:
            raise UserError(
                f"the segmentation model was trained with --conf {key} {trained} but the server runs with "
                f"--conf {key} {now}; train again or start the server with the former"
            )


def _multiples(sides: Sequence[float], multiple: int) -> tuple[int, ...]:
    """The least multiples that are no smaller."""
    return tuple(math.ceil(side / multiple) * multiple for side in sides)


def _resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    return tuple(max(1, round(side * step / wanted)) for side, step, wanted in zip(shape, spacing, target, strict=True))
