"""Images of random contrast from one labelled image: its grey values are sorted into bins, and each bin is drawn anew.

SingleStrip (arXiv 2508.10464) trains on such images; how many bins, and how they are found, is our choice. The ranges
are those of its relatives SynthSeg (arXiv 2107.09559) and neurite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from monai.transforms import (
    Compose,
    EnsureTyped,
    Lambdad,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    Randomizable,
    RandomizableTransform,
    RandSmoothDeformd,
    Transform,
)
from monai.utils import convert_to_tensor
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from xssr_strategy.images.preprocessing import scale_intensity
from xssr_strategy.images.preset import Preset
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import KEYS, ReadPair, windows_around_labels

_SEEN = 4096  # voxels of a region that k-means looks at; our choice
_FEW = 64  # voxels among which most regions have as many values as bins


@dataclass(frozen=True)
class SynthesisRanges:
    """What each synthesis draws from; image values are in [0, 1].

    Attributes:
        bins: of each region, at least and at most (our choice: SingleStrip's are not known).
        mean: of a bin (SynthSeg: 25 to 225 of 255).
        deviation: of a bin (SynthSeg: 5 to 25 of 255).
        dark: share of syntheses in which the darkest bin of the background, air in most images, is black (ours, after
            neurite's ``zero_background``).
        rotation: radians about each axis (SynthSeg: 15 degrees).
        scaling: of each axis, more or less than 1 (SynthSeg).
        shearing: SynthSeg.
        translation: share of the image, more or less (our choice, as for real images).
        bend: share of the image by which a smooth field moves a voxel, at most (our choice).
        bend_points: of the smooth field along each axis (SynthSeg: 0.04 of the image's side).
        bias: coefficients of the polynomial whose exponential the image is multiplied by (our choice).
        blur: standard deviation of a Gaussian in voxels (neurite).
        noise: standard deviation (our choice).
        gamma: exponent (SynthSeg: exp of a normal distribution of deviation 0.5).
        slice: thickness in voxels along the axis that is seen coarsely (SynthSeg: 8 mm of 1 mm).
    """

    bins: tuple[int, int] = (2, 12)
    mean: tuple[float, float] = (25 / 255, 225 / 255)
    deviation: tuple[float, float] = (5 / 255, 25 / 255)
    dark: float = 0.5
    rotation: float = math.pi / 12
    scaling: float = 0.2
    shearing: float = 0.012
    translation: float = 0.08
    bend: float = 0.06
    bend_points: int = 5
    bias: tuple[float, float] = (-0.2, 0.2)
    blur: tuple[float, float] = (0.0, 1.0)
    noise: float = 0.03
    gamma: tuple[float, float] = (0.6, 1.65)
    slice: tuple[float, float] = (1.0, 4.0)


RANGES = SynthesisRanges()


def intensity_bins(image: Tensor, label: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Sort the values of an image into bins, by k-means inside each label and outside, never across.

    Args:
        image: (C, *spatial).
        label: (1, *spatial) label numbers.
        count: bins of each region; one of fewer different values has as many.
        generator: of where k-means begins, and of the voxels that it looks at.

    Returns:
        int64 (1, *spatial): numbers of bins from 0, those of the smallest label number first.

    >>> import torch
    >>> image, label = torch.tensor([[0.0, 0.1, 0.9, 1.0, 0.5]]), torch.tensor([[0, 0, 0, 0, 1]])
    >>> bins = intensity_bins(image, label, count=2, generator=torch.Generator().manual_seed(0))
    >>> bool(bins[0, 0] == bins[0, 1]), bool(bins[0, 2] == bins[0, 3]), bins.unique().tolist(), bins[0, 4].item()
    (True, True, [0, 1, 2], 2)
    """
    bins = torch.zeros(label.numel(), dtype=torch.int64)
    first = 0
    for number in label.unique():
        inside = torch.nonzero(label.flatten() == number).squeeze(1)
        values = image.flatten(1)[:, inside].T.double().numpy()  # (voxels, C)
        found = _clusters(values, count, generator)
        bins[inside] = first + torch.from_numpy(found)
        first += int(found.max()) + 1
    return bins.reshape(label.shape)


def _clusters(values: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """int64 (voxels,): which of at most ``count`` clusters, numbered from 0, each row of (voxels, C) belongs to."""
    seen = values[torch.randint(len(values), (_SEEN,), generator=generator).numpy()] if len(values) > _SEEN else values
    if len(np.unique(seen[:_FEW], axis=0)) < count:  # else there are enough, and the many need not be sorted
        count = min(count, len(np.unique(seen, axis=0)))
    if count == 1:
        return np.zeros(len(values), dtype=np.int64)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    means = KMeans(count, init="random", n_init=1, max_iter=20, random_state=seed).fit(seen)
    found = means.predict(values)
    used = np.bincount(found, minlength=count) > 0
    numbers: np.ndarray = (np.cumsum(used) - 1)[found]  # without gaps; np.unique would sort all voxels
    return numbers


def synthesize(bins: Tensor, generator: torch.Generator, channels: int = 1, ranges: SynthesisRanges = RANGES) -> Tensor:
    """An image in which each bin is noise about a mean, both drawn for each bin and channel.

    Args:
        bins: int64 (1, *spatial), from 0.
        generator: of all that is drawn.
        channels: of the image.
        ranges: of means and deviations.

    Returns:
        float32 (channels, *spatial).

    >>> import torch
    >>> image = synthesize(torch.arange(3).repeat_interleave(100).reshape(1, 15, 20), torch.Generator().manual_seed(0))
    >>> image.shape, image.dtype
    (torch.Size([1, 15, 20]), torch.float32)
    """

    def drawn(low: float, high: float) -> Tensor:
        each = low + (high - low) * torch.rand(channels, int(bins.max()) + 1, generator=generator)
        return each[:, bins[0]]

    means, deviations = drawn(*ranges.mean), drawn(*ranges.deviation)
    return means + deviations * torch.randn(means.shape, generator=generator)


def synthesis_transforms(
    preset: Preset, plan: SegmentationPlan, seed: int, read: Transform | None = None, ranges: SynthesisRanges = RANGES
) -> Compose:
    """From a labelled image to a synthesised one, deformed with its label; as ``training_transforms`` has it."""
    steps: list[Transform] = [
        read or ReadPair(preset, plan),
        *windows_around_labels(plan),
        EnsureTyped(KEYS, track_meta=False, device=torch.device("cpu")),  # k-means and the smooth field are there
        _Bins(ranges),
        *deformation("bins", plan.roi, ranges),
        _Synthesis(plan.channels, ranges),
        *acquisition(preset, ranges),
        EnsureTyped(KEYS, track_meta=False),
    ]
    return Compose(steps).set_random_state(seed=seed)


def deformation(key: str, sides: Sequence[int], ranges: SynthesisRanges = RANGES) -> list[Transform]:
    """An affine and a smooth elastic deformation of a map (1, *sides) of whole numbers."""
    dims = len(sides)
    return [
        RandAffined(
            key,
            prob=1.0,
            rotate_range=(ranges.rotation,) * (1 if dims == 2 else 3),
            shear_range=(ranges.shearing,) * dims,
            scale_range=(ranges.scaling,) * dims,
            translate_range=tuple(ranges.translation * side for side in sides),
            mode="nearest",
            padding_mode="border",
        ),
        RandSmoothDeformd(
            key,
            spatial_size=tuple(sides),
            rand_size=(ranges.bend_points,) * dims,
            prob=1.0,
            field_mode="bilinear" if dims == 2 else "trilinear",
            align_corners=True,
            def_range=2 * ranges.bend,
            grid_mode="nearest",
        ),
    ]


def acquisition(preset: Preset, ranges: SynthesisRanges = RANGES) -> list[Transform]:
    """What a scanner does to an image: coil, contrast, blur, thick slices, noise; then grey values as of real ones.

    A window of stored values, such as Hounsfield units, is no measure of synthesised ones: all of them are shown.
    """
    spread = replace(preset, window=None)
    return [
        RandBiasFieldd("image", prob=0.5, coeff_range=ranges.bias),
        Lambdad("image", lambda image: scale_intensity(image, spread)),
        RandAdjustContrastd("image", prob=0.5, gamma=ranges.gamma),
        RandGaussianSmoothd("image", prob=0.5, sigma_x=ranges.blur, sigma_y=ranges.blur, sigma_z=ranges.blur),
        _ThickSlices(ranges.slice),
        RandGaussianNoised("image", prob=0.5, std=ranges.noise),
        Lambdad("image", lambda image: image.clamp(0.0, 1.0)),
    ]


class _Drawing(Randomizable, Transform):
    """A transform that draws from torch's generators, seeded by MONAI's."""

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(int(self.R.randint(2**31)))


class _Bins(_Drawing):
    """From "image" and "label" to "bins", as many as are drawn, the label number of each, and which are "dark"."""

    def __init__(self, ranges: SynthesisRanges) -> None:
        self._ranges = ranges

    def __call__(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        low, high = self._ranges.bins
        count = int(self.R.randint(low, high + 1))
        bins = intensity_bins(data["image"], data["label"], count, self.generator())
        label_of_bin = data["label"].new_zeros(int(bins.max()) + 1).scatter_(0, bins.flatten(), data["label"].flatten())
        grey = data["image"].mean(dim=0).flatten().double()
        means = torch.bincount(bins.flatten(), weights=grey) / torch.bincount(bins.flatten()).clamp(min=1)
        outside = torch.where(label_of_bin == 0, means, torch.inf)
        dark = (outside == outside.min()) & outside.isfinite()
        return {"bins": bins, "label_of_bin": label_of_bin, "dark": dark}


class _Synthesis(_Drawing):
    """From "bins" to "image" and "label"."""

    def __init__(self, channels: int, ranges: SynthesisRanges) -> None:
        self._channels, self._ranges = channels, ranges

    def __call__(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        bins = convert_to_tensor(data["bins"], dtype=torch.int64)  # no MetaTensor, which is slower
        image = synthesize(bins, self.generator(), self._channels, self._ranges)
        if self.R.random() < self._ranges.dark:
            image = image * ~data["dark"][bins]
        return {"image": image, "label": data["label_of_bin"][bins]}


class _ThickSlices(RandomizableTransform):
    """Makes "image" coarse along one axis: averages over slices, and interpolates between them."""

    def __init__(self, thickness: tuple[float, float]) -> None:
        super().__init__(prob=0.5)
        self._thickness = thickness

    def __call__(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        image = data["image"]
        sides = list(image.shape[1:])
        axis = int(self.R.randint(len(sides)))
        coarse = list(sides)
        coarse[axis] = max(1, round(sides[axis] / self.R.uniform(*self._thickness)))
        mode = "bilinear" if len(sides) == 2 else "trilinear"
        slices = F.interpolate(image.unsqueeze(0), size=coarse, mode="area")
        return {**data, "image": F.interpolate(slices, size=sides, mode=mode, align_corners=False).squeeze(0)}
