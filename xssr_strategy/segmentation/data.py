"""What a training may read: the labelled pairs and, for methods that use them, unlabelled images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from monai.data import Dataset
from torch import Tensor

from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.pair_cache import NoCache, PairCache, Read
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import ReadImage, ReadPair

UNLABELLED = 1000
"""Unlabelled images that a training learns from, if there are more; our choice."""


def some_images(images: Mapping[str, Path], most: int, seed: int) -> dict[str, Path]:
    """So many images at most, drawn with the seed, sorted by id.

    >>> sorted(some_images({"a": Path("a.png"), "b": Path("b.png"), "c": Path("c.png")}, most=2, seed=0))
    ['a', 'c']
    """
    names = sorted(images)
    drawn = np.random.default_rng(seed).permutation(len(names))[:most]
    return {names[place]: images[names[place]] for place in sorted(drawn)}


@dataclass(frozen=True)
class TrainingData:
    """Files, and how they are read; nothing is read before a batch asks for it.

    Attributes:
        preset: kind of image.
        labelled: the labels of the budget, and no other.
        unlabelled: id -> file or series folder of images of pool and source without a label; of no use to a method
            that does not use them.
        cache: where images are kept once they are read.
        source_labelled: labels of the source, which train beside those of the budget.
        stages: folder where a training keeps what its finished stages found, so that one of the same data, settings and
            seed goes on from there; by default none does.
        encoder: ``state_dict()`` of the encoder with whose weights a method's network begins, for those that do.
    """

    preset: Preset
    labelled: Sequence[LabelledImage]
    unlabelled: Mapping[str, Path] = field(default_factory=dict)
    cache: PairCache = field(default_factory=NoCache)
    source_labelled: Sequence[LabelledImage] = ()
    stages: Path | None = None
    encoder: Mapping[str, Tensor] | None = None

    @contextmanager
    def kept_stages(self) -> Iterator[Path]:
        """``stages``, or a folder that is removed in the end."""
        if self.stages is not None:
            yield self.stages
            return
        with TemporaryDirectory() as folder:
            yield Path(folder)

    def pairs(self, plan: SegmentationPlan, transforms: Read) -> Dataset:
        """The labelled images, then those of the source: {"image": float32 (C, *grid), "label": uint8 (1, *grid)}."""
        items = [pair.item for pair in (*self.labelled, *self.source_labelled)]
        return self.cache.dataset(items, ReadPair(self.preset, plan), transforms)

    def images(self, plan: SegmentationPlan, transforms: Read) -> Dataset:
        """The unlabelled images, sorted by id: {"image": float32 (C, *grid)}, then ``transforms``."""
        items = [{"image": str(self.unlabelled[image])} for image in sorted(self.unlabelled)]
        return self.cache.dataset(items, ReadImage(self.preset, plan), transforms)
