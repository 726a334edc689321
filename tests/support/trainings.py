"""Small trainings through the server's trainer, for its tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import Datastore

from tests.support.phantoms import ellipsoids, oblique, write_nifti, write_png
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import TrainingMethod
from xssr_strategy.segmentation.pair_cache import PairCache
from xssr_strategy.segmentation.publication import MODEL_KEY
from xssr_strategy.tasks import segmentation_trainer
from xssr_strategy.tasks.segmentation_trainer import SegmentationTrainer
from xssr_strategy.tasks.training_stats import TrainingStats

XRAY = replace(PRESETS["xray"], segmentation_size=48)  # small, for speed
MRI = PRESETS["mri"]
SHORT = {"max_epochs": 2, "steps_per_epoch": 2, "train_batch_size": 2}


def studies(folder: Path, count: int, dims: int, labels: int) -> LocalDatastore:
    """A MONAI Label folder with ``count`` labelled phantoms, brightest label first."""
    rng = np.random.default_rng(0)
    for index in range(count):
        name = f"case{index:02}"
        if dims == 2:
            image, mask = ellipsoids((60, 48), labels, rng)
            write_png(folder / f"{name}.png", np.clip(60 + 120 * image, 0, 255))
            write_png(folder / "labels" / "final" / f"{name}.png", mask)
        else:
            image, mask = ellipsoids((24, 20, 18), labels, rng)
            affine = oblique((1.0, 1.0, 1.2))
            write_nifti(folder / f"{name}.nii.gz", image.astype(np.float32), affine)
            write_nifti(folder / "labels" / "final" / f"{name}.nii.gz", mask, affine)
    return LocalDatastore(str(folder), extensions=["*.nii.gz", "*.png"], auto_reload=False)


class Recorder(SegmentationTrainer):
    """Keeps every version of the statistics that a viewer could read, and what each training was given.

    Attributes:
        seen: the statistics.
        published_during: whether a model was published when each was written.
        trained_on: labels trained on and held back, of each training.
        caches: of each training.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[dict[str, Any]] = []
        self.published_during: list[bool] = []
        self.trained_on: list[tuple[int, int]] = []
        self.caches: list[PairCache] = []

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        write, train = TrainingStats.write, segmentation_trainer.train

        def recorded_write(stats: TrainingStats, finished: bool = False) -> None:
            write(stats, finished)
            self.seen.append(self.stats())
            self.published_during.append(self._published.exists())

        def recorded_train(
            method: TrainingMethod, data: TrainingData, plan: Any, seed: int, device: Any, held_back: Any, report: Any
        ) -> Any:
            self.trained_on.append((len(data.labelled), len(held_back.pairs) if held_back else 0))
            self.caches.append(data.cache)
            return train(method, data, plan, seed, device, held_back, report)

        with (
            patch.object(TrainingStats, "write", recorded_write),
            patch.object(segmentation_trainer, "train", recorded_train),
        ):
            return super().__call__(request, datastore)


def trainer(tmp_path: Path, preset: Preset = XRAY, labels: tuple[str, ...] = ("blob",), *more: Any) -> Recorder:
    return Recorder(tmp_path / "logs", preset, labels, tmp_path / "model" / "segmentation.pt", *more)


def weights(tmp_path: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(tmp_path / "model" / "segmentation.pt", weights_only=True)[MODEL_KEY]
    return loaded


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
