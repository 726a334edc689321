"""Each effect that a synthesised image gets of a scanner, alone, against its formula."""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np
import pytest
import torch
from monai.transforms import (
    RandAdjustContrastd,
    RandBiasFieldd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    Randomizable,
    RandomizableTransform,
    Transform,
)
from scipy.stats import norm
from torch import Tensor

from xssr_strategy.images.preset import PRESETS
from xssr_strategy.segmentation.methods.synthesis import RANGES, _ThickSlices, acquisition

SHAPES = [(24, 20), (16, 14, 12)]

pytestmark = pytest.mark.parametrize("shape", SHAPES, ids=["2-D", "3-D"])


def effect(kind: type[Transform], shape: tuple[int, ...], seed: int = 0) -> Transform:
    """The one effect of this kind, which now always happens."""
    preset = PRESETS["xray" if len(shape) == 2 else "mri"]
    (found,) = (each for each in acquisition(preset) if isinstance(each, kind))
    assert isinstance(found, RandomizableTransform)
    assert found.prob == 0.5
    found.prob = 1.0
    assert isinstance(found, Randomizable)
    found.set_random_state(seed=seed)
    return found


def seen(effect: Transform, image: Tensor) -> np.ndarray:
    changed = effect({"image": image.clone()})["image"]
    assert changed.shape == image.shape
    return np.asarray(changed)[0]


def noise(shape: tuple[int, ...]) -> Tensor:
    return torch.rand((1, *shape), generator=torch.Generator().manual_seed(1))


def test_the_bias_field_is_the_exponential_of_a_polynomial(shape: tuple[int, ...]) -> None:
    image = noise(shape) + 0.1
    field = np.log(seen(effect(RandBiasFieldd, shape), image) / np.asarray(image[0])).ravel()
    axes = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")).reshape(len(shape), -1)
    powers = product(range(4), repeat=len(shape))
    terms = np.stack([np.prod(axes ** np.reshape(power, (-1, 1)), axis=0) for power in powers], axis=1)
    fitted = terms @ np.linalg.lstsq(terms, field, rcond=None)[0]
    assert field.std() > 0.02
    np.testing.assert_allclose(fitted, field, atol=1e-4)


def test_the_contrast_changes_by_one_exponent(shape: tuple[int, ...]) -> None:
    image = noise(shape)
    image.view(-1)[:2] = torch.tensor([0.0, 1.0])
    before, after = np.asarray(image[0]), seen(effect(RandAdjustContrastd, shape), image)
    inside = (before > 0.05) & (before < 0.95)
    exponents = np.log(after[inside]) / np.log(before[inside])
    assert exponents.std() < 1e-3
    assert RANGES.gamma[0] <= exponents.mean() <= RANGES.gamma[1]
    assert abs(exponents.mean() - 1) > 0.05


def test_the_blur_is_gaussian_with_a_deviation_for_each_axis(shape: tuple[int, ...]) -> None:
    point = torch.zeros(1, *shape)
    middle = tuple(side // 2 for side in shape)
    point[(0, *middle)] = 1.0
    blurred = seen(effect(RandGaussianSmoothd, shape), point)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-3)
    deviations, marginals = [], []
    for axis, side in enumerate(shape):
        along = blurred.sum(axis=tuple(other for other in range(len(shape)) if other != axis))
        away = np.arange(side) - middle[axis]
        deviation = float(np.sqrt(max((along * away**2).sum() - 1 / 12, 0.0)))  # a voxel has a width, too
        gauss = norm(scale=deviation)
        np.testing.assert_allclose(along, gauss.cdf(away + 0.5) - gauss.cdf(away - 0.5), atol=0.02)
        deviations.append(deviation)
        marginals.append(along)
    assert RANGES.blur[0] <= min(deviations) < max(deviations) <= RANGES.blur[1]
    np.testing.assert_allclose(blurred, reduce(np.multiply.outer, marginals), atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_thick_slices_average_along_one_axis_alone(shape: tuple[int, ...], seed: int) -> None:
    changed = []
    for axis, side in enumerate(shape):
        wave = torch.cos(torch.pi * torch.arange(side)).reshape([-1 if one == axis else 1 for one in range(len(shape))])
        image = wave.expand(shape).unsqueeze(0)
        coarse = seen(effect(_ThickSlices, shape, seed), image)
        if not np.allclose(coarse, np.asarray(image[0]), atol=1e-6):
            changed.append(axis)
            assert np.abs(coarse).mean() < 0.8  # neighbours of opposite sign
    assert len(changed) == 1


def test_the_noise_is_gaussian_and_about_nothing(shape: tuple[int, ...]) -> None:
    image = noise((4 * shape[0], *shape[1:]))
    added = seen(effect(RandGaussianNoised, shape), image) - np.asarray(image[0])
    assert 0 < added.std() <= 1.05 * RANGES.noise
    assert abs(added.mean()) < 4 * added.std() / np.sqrt(added.size)
    fourth = ((added - added.mean()) ** 4).mean() / added.std() ** 4
    assert fourth == pytest.approx(3.0, abs=0.4)


@pytest.mark.parametrize("windowed", [False, True])
def test_grey_values_end_between_0_and_1_and_spread(shape: tuple[int, ...], windowed: bool) -> None:
    """Also where real images are shown in a window of stored values, which synthesised ones do not have."""
    data = {"image": noise(shape)}
    names = ("xray", "fundus") if len(shape) == 2 else ("mri", "ct")
    for each in acquisition(PRESETS[names[windowed]]):
        if isinstance(each, RandomizableTransform):
            each.prob = 1.0
            each.set_random_state(seed=3)
        data = each(data)
    image = np.asarray(data["image"])
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.05
