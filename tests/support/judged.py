"""Published networks with what judges their masks, for tests of the quality of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.support.phantoms import write_png
from xssr_strategy.segmentation.mask_quality import MaskAutoencoder
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.planned_network import build_network
from xssr_strategy.segmentation.publication import publish

PLAN = SegmentationPlan("xray", 2, 1, ("foreground",), (), (32, 32))


def publish_judged(path: Path, seed: int, judged: bool = True, plan: SegmentationPlan = PLAN) -> None:
    """A network of random weights, and an autoencoder likewise."""
    torch.manual_seed(seed)
    network = build_network(plan)
    autoencoder = MaskAutoencoder(plan.spatial_dims, len(plan.labels)).state_dict() if judged else None
    path.parent.mkdir(parents=True, exist_ok=True)
    publish(network.state_dict(), plan, path, autoencoder)


def discs(folder: Path, count: int, shape: tuple[int, int] = (64, 52)) -> None:
    """``images/`` and ``labels/`` of bright discs on a dark ground, each elsewhere and of another size."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for number in range(count):
        row, column = (rng.uniform(0.3 * side, 0.7 * side) for side in shape)
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= rng.uniform(7, 13) ** 2
        image = 60 + 120 * inside + rng.normal(0, 6, shape)
        write_png(folder / "images" / f"disc{number:02}.png", np.clip(image, 0, 255))
        write_png(folder / "labels" / f"disc{number:02}.png", 255 * inside)
