"""MONAI transforms of training and validation; both begin with the one reading step that inference uses too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CopyItemsd,
    EnsureTyped,
    Lambdad,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandCropByPosNegLabeld,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
    RandShiftIntensityd,
    RandSpatialCropd,
    SpatialPadd,
    SqueezeDimd,
    Transform,
)
from torch import Tensor

from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import names_of, read_label
from xssr_strategy.labels.values import IGNORED
from xssr_strategy.segmentation.geometry import network_image, network_label
from xssr_strategy.segmentation.plan import SegmentationPlan

KEYS = ("image", "label")
_DRAWN, _ANYWHERE = "drawn", "anywhere"

# UST-RUN's code, for all data sets but fundus.
_BRIGHTNESS = (-0.9, 1.0)  # a factor of 0.1 to 2, of the contrast too
_BLUR = (0.1, 2.0)  # pixels
_UST_RUN_SIDE = 384  # pixels


def read_for_network(path: str | Path, preset: Preset, plan: SegmentationPlan) -> tuple[Tensor, MetaTensor]:
    """Read an image file as the network sees it, and as it is stored.

    Returns:
        float32 (C, *grid) with values in [0, 1], and ``read_image(path)``, whose shape and affine lead back.

    Raises:
        UserError: the file cannot be used.
    """
    original = read_image(path)
    return network_image(conform(original, preset, path), preset, plan), original


class ReadPair(Transform):
    """A pair of files -> tensors {"image": float32 (C, *grid), "label": uint8 (1, *grid)}; as ``read_label`` has it."""

    def __init__(self, preset: Preset, plan: SegmentationPlan) -> None:
        self.preset = preset
        self.plan = plan

    def __call__(self, data: Mapping[str, str]) -> dict[str, Tensor]:
        image = conform(read_image(data["image"]), self.preset, data["image"])
        label = read_label(data["label"], self.plan.labels, image, names_of(data))
        pixels = network_image(image, self.preset, self.plan)
        return {"image": pixels, "label": network_label(label, pixels.shape[1:])}


class ReadImage(Transform):
    """Path {"image"} -> tensor {"image": float32 (C, *grid)}."""

    def __init__(self, preset: Preset, plan: SegmentationPlan) -> None:
        self.preset = preset
        self.plan = plan

    def __call__(self, data: Mapping[str, str]) -> dict[str, Tensor]:
        return {"image": read_for_network(data["image"], self.preset, self.plan)[0]}


def training_transforms(preset: Preset, plan: SegmentationPlan, seed: int, read: Transform | None = None) -> Compose:
    """Reading, cropping (3-D) and augmentation for a few labels; all ranges are our choice.

    There are no flips: left and right differ in anatomy (heart, liver) and may be labels of their own.

    Args:
        read: the first step; one of ``preset`` and ``plan`` by default.
    """
    steps: list[Transform] = [read or ReadPair(preset, plan), *windows_around_labels(plan)]
    steps += [
        _affine(KEYS, ("bilinear", "nearest"), plan),
        RandBiasFieldd("image", prob=0.2, coeff_range=(0.0, 0.2)),
        RandAdjustContrastd("image", prob=0.3, gamma=(0.6, 1.6)),
        RandScaleIntensityd("image", prob=0.3, factors=0.2),
        RandShiftIntensityd("image", prob=0.3, offsets=0.1),
        RandGaussianNoised("image", prob=0.2, std=0.05),
        EnsureTyped(KEYS, track_meta=False),
    ]
    return Compose(steps).set_random_state(seed=seed)


def windows_around_labels(plan: SegmentationPlan) -> list[Transform]:
    """From a labelled image to what the network sees at once: in 3-D a random window, in 2-D the image.

    Two windows in three are centred on a label; an empty label gives windows from anywhere, but never from around a
    voxel that nobody has looked at. A network that sees slices gets a part of one.
    """
    if plan.spatial_dims == 2:
        return []
    slices = plan.network_dims == 2
    window = (*plan.roi, 1) if slices else plan.roi
    return [
        SpatialPadd(KEYS, spatial_size=window),
        _PlacesOfWindows(),
        RandCropByPosNegLabeld(
            KEYS,
            label_key="label",
            fg_indices_key=_DRAWN,
            bg_indices_key=_ANYWHERE,
            spatial_size=window,
            pos=2,
            neg=1,
            num_samples=1,
        ),
        *([SqueezeDimd(KEYS, dim=-1)] if slices else []),
    ]


def unlabelled_transforms(preset: Preset, plan: SegmentationPlan, seed: int, read: Transform | None = None) -> Compose:
    """Two views of one geometry: {"image": weakly, "strong": strongly augmented}, both float32 (C, *roi) in [0, 1].

    Weak is the geometry of labelled images. Strong is brightness, contrast and blur after it, in the ranges of UST-RUN
    (arXiv 2505.24567), whose images have ``_UST_RUN_SIDE`` pixels: the blur shrinks with the image.

    Args:
        read: the first step; one of ``preset`` and ``plan`` by default.
    """
    steps: list[Transform] = [read or ReadImage(preset, plan)]
    if plan.spatial_dims == 3:
        steps += [
            SpatialPadd("image", spatial_size=plan.roi),
            RandSpatialCropd("image", roi_size=plan.roi, random_size=False),
        ]
    least, most = (width * min(plan.roi) / _UST_RUN_SIDE for width in _BLUR)
    blur = least, most
    steps += [
        _affine(("image",), ("bilinear",), plan),
        CopyItemsd("image", names=["strong"]),
        RandScaleIntensityd("strong", prob=1.0, factors=_BRIGHTNESS),
        _clip("strong"),
        RandScaleIntensityFixedMeand("strong", prob=1.0, factors=_BRIGHTNESS, fixed_mean=True),
        _clip("strong"),
        RandGaussianSmoothd("strong", prob=1.0, sigma_x=blur, sigma_y=blur, sigma_z=blur),
        EnsureTyped(("image", "strong"), track_meta=False),
    ]
    return Compose(steps).set_random_state(seed=seed)


class _PlacesOfWindows(Transform):
    """Adds where windows may be centred: the flat indices of a label's voxels, and of all that were looked at.

    The latter hold the label's, too: so MONAI finds the background of a label of bytes, by which networks were trained.
    """

    def __call__(self, data: Mapping[str, Tensor]) -> dict[str, Any]:
        seen = data["label"] != IGNORED
        drawn = (data["label"] > 0) & seen
        return {**data, _DRAWN: drawn.flatten().nonzero().flatten(), _ANYWHERE: seen.flatten().nonzero().flatten()}


def _clip(key: str) -> Lambdad:
    """To what a picture can show, as UST-RUN's transforms do after each step."""
    return Lambdad(key, lambda image: image.clamp(0.0, 1.0))


def _affine(keys: Sequence[str], modes: Sequence[str], plan: SegmentationPlan) -> RandAffined:
    return RandAffined(
        keys,
        prob=0.8,
        rotate_range=(np.pi / 12,) * (1 if plan.network_dims == 2 else 3),
        scale_range=(0.15,) * plan.network_dims,
        translate_range=tuple(0.08 * side for side in plan.roi),
        mode=modes,
        padding_mode="border",
    )
