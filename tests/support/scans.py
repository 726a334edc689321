"""Phantoms for the tests of training methods, and a short training on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.support.phantoms import phantom_pairs
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.pair_cache import MemoryCache, PairCache
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import train

CPU = torch.device("cpu")
STEPS = 8


@dataclass(frozen=True)
class Scans:
    """Labelled files, files without a label, and the kind of image."""

    pairs: list[dict[str, str]]
    unlabelled: Mapping[str, Path]
    preset: Preset
    labels: tuple[str, ...]

    def train(
        self,
        name: str,
        count: int = 2,
        seed: int = 0,
        cache: PairCache | None = None,
        device: torch.device = CPU,
        **more: object,
    ) -> dict:
        """Weights after ``STEPS`` steps on the first ``count`` labels."""
        usable, _ = usable_pairs(self.pairs[:count], self.preset, self.labels)
        encoder = METHODS[name].encoder
        weights = None if encoder is None else build_encoder(encoder, self.preset, seed=9).state_dict()
        data = TrainingData(self.preset, usable, self.unlabelled, cache or MemoryCache(device), encoder=weights)
        plan = METHODS[name].planned(plan_from(usable, self.preset, self.labels), self.preset)
        method = METHODS[name](STEPS, steps_per_epoch=4)
        return dict(train(method, data, plan, seed, device, **more).state_dict())  # type: ignore[arg-type]


def scans(folder: Path, preset: Preset, labels: tuple[str, ...], count: int = 3) -> Scans:
    pairs = phantom_pairs(folder, count, preset.spatial_dims, len(labels))
    others = phantom_pairs(folder / "unlabelled", 4, preset.spatial_dims, len(labels))
    return Scans(pairs, {f"u{row}": Path(pair["image"]) for row, pair in enumerate(others)}, preset, labels)
