"""Pools of small pictures, and a workspace over one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.ranking import Ranking
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.settings import Settings, parse_settings

PRESET = PRESETS["xray"]


def write(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        pattern = np.add.outer(np.arange(32) * rng.uniform(-4, 4), np.arange(32) * rng.uniform(-4, 4))
        values = np.clip(128 + pattern + rng.normal(size=(32, 32)) * 10, 0, 255).astype(np.uint8)
        Image.fromarray(values).save(folder / f"i{index:02d}.png")
    return folder


class Bench:
    """A studies folder with its source and workspace."""

    def __init__(self, root: Path) -> None:
        self.studies = write(root / "studies", 30, 1)
        self.source = write(root / "source", 8, 2)
        self.settings = parse_settings({"source": str(self.source), "encoder_steps": "1", "budget": "4"})
        self.workspace = Workspace(root / "workspace")
        self.store = EmbeddingStore(self.workspace.store)
        self.stages: list[str] = []

    def update(self, labelled: tuple[str, ...] = (), settings: Settings | None = None) -> Ranking:
        self.stages.clear()
        return pipeline.update(
            find_images(self.studies),
            labelled,
            settings or self.settings,
            PRESET,
            self.workspace,
            self.store,
            lambda stage, done, total: self.stages.append(stage),
        )


def order(ranking: Ranking) -> list[str]:
    return [pick.image for pick in ranking.picks]
