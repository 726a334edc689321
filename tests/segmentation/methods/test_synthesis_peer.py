"""Beside another implementation, which the lower ends of setup.cfg do not have."""

from __future__ import annotations

import random

import cornucopia
import numpy as np
import torch
from scipy import stats
from torch import Tensor

from xssr_strategy.segmentation.methods.synthesis import RANGES, synthesize


def test_the_statistics_are_those_of_cornucopia() -> None:
    """Means and deviations of labels, over many syntheses, where both draw from the same ranges."""
    bins = torch.arange(2).repeat_interleave(1800).reshape(1, 60, 60)
    theirs = cornucopia.RandomGaussianMixtureTransform(
        mu=cornucopia.Uniform(*RANGES.mean), sigma=cornucopia.Uniform(*RANGES.deviation), fwhm=0
    )

    def moments(images: list[Tensor]) -> np.ndarray:
        return np.array([[float(image[bins == 0].mean()), float(image[bins == 0].std())] for image in images])

    torch.manual_seed(0)
    random.seed(0)  # cornucopia draws from both
    ours = moments([synthesize(bins, torch.Generator().manual_seed(seed)) for seed in range(200)])
    others = moments([theirs(bins) for _ in range(200)])
    for column in (0, 1):
        assert stats.ks_2samp(ours[:, column], others[:, column]).pvalue > 0.01
