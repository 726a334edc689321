from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.support.phantoms import phantom_pairs
from tests.support.trainings import MRI, XRAY
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.labels.values import IGNORED
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.synthesis import (
    RANGES,
    SynthesisRanges,
    intensity_bins,
    synthesis_transforms,
    synthesize,
)
from xssr_strategy.segmentation.plan import plan_from


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels_of(bins: Tensor, label: Tensor) -> dict[int, set[int]]:
    """Number of a bin -> the label numbers of its voxels."""
    return {int(number): set(label[bins == number].tolist()) for number in bins.unique()}


@pytest.mark.parametrize("shape", [(1, 32, 24), (3, 32, 24), (1, 12, 16, 10)])
def test_no_bin_lies_in_two_labels(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.uniform(size=shape).astype(np.float32))
    label = torch.from_numpy(rng.choice(np.array([0, 1, 2, IGNORED], np.uint8), size=(1, *shape[1:])))
    bins = intensity_bins(image, label, 5, generator())
    assert bins.shape == label.shape
    assert sorted(labels_of(bins, label)) == list(range(20))
    assert all(len(numbers) == 1 for numbers in labels_of(bins, label).values())


def test_the_bins_of_a_label_are_ranges_of_values() -> None:
    image = torch.rand(1, 40, 40, generator=generator(1))
    label = (torch.arange(40) < 15).to(torch.uint8).expand(1, 40, 40)
    bins = intensity_bins(image, label, 4, generator())
    for number in (0, 1):
        inside = label == number
        values, of_values = image[inside], bins[inside]
        ends = sorted(
            (float(values[of_values == one].min()), float(values[of_values == one].max())) for one in of_values.unique()
        )
        assert len(ends) == 4
        assert all(last < first for (_, last), (first, _) in itertools.pairwise(ends))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (torch.full((1, 8, 8), 0.3), 2),  # one grey value: a bin inside, a bin outside
        ((torch.arange(64).reshape(1, 8, 8) % 3).float(), 6),  # fewer grey values than bins
    ],
)
def test_no_more_bins_than_grey_values(image: Tensor, expected: int) -> None:
    label = (torch.arange(64) < 20).to(torch.uint8).reshape(1, 8, 8)
    bins = intensity_bins(image, label, 10, generator())
    assert len(bins.unique()) == expected


@pytest.mark.parametrize("drawn", [0, 1, 64])
def test_a_label_of_no_voxel_of_one_and_of_all(drawn: int) -> None:
    label = (torch.arange(64) < drawn).to(torch.uint8).reshape(1, 8, 8)
    bins = intensity_bins(torch.rand(1, 8, 8, generator=generator()), label, 3, generator())
    assert len(bins.unique()) == {0: 3, 1: 4, 64: 3}[drawn]


def test_each_bin_is_a_gaussian_of_its_own() -> None:
    bins = torch.arange(3).repeat_interleave(4000).reshape(1, 100, 120)
    image = synthesize(bins, generator(2), channels=2)
    assert image.shape == (2, 100, 120)
    means = torch.stack([image[:, bins[0] == number].mean(1) for number in range(3)])
    deviations = torch.stack([image[:, bins[0] == number].std(1) for number in range(3)])
    assert len(means.flatten().round(decimals=2).unique()) == 6
    assert bool(((means > RANGES.mean[0] - 0.01) & (means < RANGES.mean[1] + 0.01)).all())
    assert bool(((deviations > RANGES.deviation[0] - 0.005) & (deviations < RANGES.deviation[1] + 0.005)).all())
    standard = (image[0, bins[0] == 1] - means[1, 0]) / deviations[1, 0]
    assert stats.kstest(standard.numpy(), "norm").pvalue > 0.01


@pytest.mark.parametrize(("preset", "names"), [(XRAY, ("blob",)), (XRAY, ("a", "b")), (MRI, ("a", "b"))])
def test_a_synthesised_image_lies_on_its_label(tmp_path: Path, preset: Preset, names: tuple[str, ...]) -> None:
    """With little noise and one bin a region, the grey values tell the label again, wherever it was moved to."""
    pairs, _ = usable_pairs(phantom_pairs(tmp_path, 1, preset.spatial_dims, len(names)), preset, names)
    plan = plan_from(pairs, preset, names)
    calm = SynthesisRanges(
        bins=(1, 1), deviation=(0.0, 0.0), blur=(0.0, 0.001), noise=0.0, bias=(0.0, 0.0), slice=(1.0, 1.0)
    )
    dataset = TrainingData(preset, pairs).pairs(plan, lambda read: synthesis_transforms(preset, plan, 0, read, calm))
    labels = []
    for _ in range(5):
        found = dataset[0]
        found = found[0] if isinstance(found, list) else found
        image, label = found["image"], found["label"]
        assert image.dtype == torch.float32
        assert label.dtype == torch.uint8
        assert image.shape[1:] == label.shape[1:] == plan.roi
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        for number in label.unique():
            assert float(image[0][label[0] == number].std(unbiased=False)) < 1e-3
        labels.append(label)
    assert not all(torch.equal(labels[0], other) for other in labels[1:])
    assert all(set(label.unique().tolist()) <= {0, *range(1, len(names) + 1)} for label in labels)


def test_the_darkest_bin_of_the_background_may_be_black_and_none_of_a_label(tmp_path: Path) -> None:
    pairs, _ = usable_pairs(phantom_pairs(tmp_path, 1, 2, 1), XRAY, ("blob",))
    plan = plan_from(pairs, XRAY, ("blob",))
    grey = torch.tensor([0.5, 1.0]).repeat_interleave(24).expand(1, 48, 48).clone()
    label = torch.zeros(1, 48, 48, dtype=torch.uint8)
    label[:, 10:30, 10:40] = 1
    grey[label == 1] = 0.0  # darker than what may be black

    def darkest_is_background(dark: float) -> list[bool]:
        calm = SynthesisRanges(deviation=(0.0, 0.0), blur=(0.0, 0.001), noise=0.0, slice=(1.0, 1.0), dark=dark)
        chain = synthesis_transforms(XRAY, plan, 0, lambda pair: {"image": grey, "label": label}, calm)  # type: ignore[arg-type]
        drawn = [chain(pairs[0].item) for _ in range(12)]
        return [float(one["image"][one["label"] == 1].min()) > 0 for one in drawn]

    assert all(darkest_is_background(1.0))
    assert not all(darkest_is_background(0.0))


def test_the_same_seed_gives_the_same_images(tmp_path: Path) -> None:
    pairs, _ = usable_pairs(phantom_pairs(tmp_path, 1, 2, 1), XRAY, ("blob",))
    plan = plan_from(pairs, XRAY, ("blob",))

    def images(seed: int) -> Tensor:
        dataset = TrainingData(XRAY, pairs).pairs(plan, lambda read: synthesis_transforms(XRAY, plan, seed, read))
        return torch.stack([dataset[0]["image"] for _ in range(3)])

    assert torch.equal(images(1), images(1))
    assert not torch.equal(images(1), images(2))
    assert not torch.equal(images(1)[0], images(1)[1])


def test_ranges_are_not_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        RANGES.mean = (0.0, 1.0)  # type: ignore[misc]
    assert replace(RANGES, noise=0.5) != RANGES
