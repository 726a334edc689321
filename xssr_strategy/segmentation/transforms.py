"""MONAI transforms of training and validation; both begin with the one reading step that inference uses too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandCropByPosNegLabeld,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandShiftIntensityd,
    SpatialPadd,
    Transform,
)
from torch import Tensor

from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label
from xssr_strategy.segmentation.geometry import network_image, network_label
from xssr_strategy.segmentation.plan import SegmentationPlan

KEYS = ("image", "label")


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
    """Paths {"image", "label"} -> tensors {"image": float32 (C, *grid), "label": uint8 (1, *grid)}."""

    def __init__(self, preset: Preset, plan: SegmentationPlan) -> None:
        self.preset = preset
        self.plan = plan

    def __call__(self, data: Mapping[str, str]) -> dict[str, Tensor]:
        image = conform(read_image(data["image"]), self.preset, data["image"])
        label = read_label(data["label"], self.plan.labels, image)
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
    steps: list[Transform] = [read or ReadPair(preset, plan)]
    if plan.spatial_dims == 3:
        steps += [
            SpatialPadd(KEYS, spatial_size=plan.roi),
            # Two windows in three are centred on a label; an empty label gives windows from anywhere.
            RandCropByPosNegLabeld(KEYS, label_key="label", spatial_size=plan.roi, pos=2, neg=1, num_samples=1),
        ]
    steps += [
        RandAffined(
            KEYS,
            prob=0.8,
            rotate_range=(np.pi / 12,) * (1 if plan.spatial_dims == 2 else 3),
            scale_range=(0.15,) * plan.spatial_dims,
            translate_range=tuple(0.08 * side for side in plan.roi),
            mode=("bilinear", "nearest"),
            padding_mode="border",
        ),
        RandBiasFieldd("image", prob=0.2, coeff_range=(0.0, 0.2)),
        RandAdjustContrastd("image", prob=0.3, gamma=(0.6, 1.6)),
        RandScaleIntensityd("image", prob=0.3, factors=0.2),
        RandShiftIntensityd("image", prob=0.3, offsets=0.1),
        RandGaussianNoised("image", prob=0.2, std=0.05),
        EnsureTyped(KEYS, track_meta=False),
    ]
    return Compose(steps).set_random_state(seed=seed)
