"""What SingleStrip costs: a synthesised window beside a real one, the quality of masks, and the whole method."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from monai.transforms import Compose

from benchmarks.bound import Bound
from tests.support.data import HIPPOCAMPUS, held_out
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.inference import Predictor, predictions
from xssr_strategy.segmentation.mask_quality import image_qualities
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.mask_autoencoding import WithMaskQuality
from xssr_strategy.segmentation.methods.recipe import STEPS_PER_EPOCH
from xssr_strategy.segmentation.methods.synthesis import synthesis_transforms
from xssr_strategy.segmentation.pair_cache import MemoryCache
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.training import train
from xssr_strategy.segmentation.transforms import ReadPair, training_transforms

_PRESET, _NAMES, _CPU = PRESETS["mri"], ("anterior", "posterior"), torch.device("cpu")
_WINDOWS, _REPEATS, _POOL = 40, 5, 60
_MINUTES = 15


def run() -> list[Bound]:
    test = set(held_out(HIPPOCAMPUS))
    images = {image: path for image, path in find_images(HIPPOCAMPUS / "images").items() if image not in test}
    first, *others = images
    pairs = [{"image": str(images[first]), "label": str(HIPPOCAMPUS / "labels" / images[first].name)}]
    usable, _ = usable_pairs(pairs, _PRESET, _NAMES)
    plan = plan_from(usable, _PRESET, _NAMES)
    data = TrainingData(_PRESET, usable, {image: images[image] for image in others}, MemoryCache(_CPU))

    cubic = replace(plan, roi=(48, 48, 48))
    real, synthesised = (
        _rates(transforms, pairs[0], cubic) for transforms in (training_transforms, synthesis_transforms)
    )
    ratio = statistics.median(one / other for one, other in zip(synthesised, real, strict=True))
    rates = f"{statistics.median(synthesised):.1f} against {statistics.median(real):.1f} windows/s"

    method = WithMaskQuality(METHODS["single_strip"](METHODS["single_strip"].epochs * STEPS_PER_EPOCH))
    begin = time.perf_counter()
    network = train(method, data, plan, 0, _CPU)
    minutes = (time.perf_counter() - begin) / 60
    assert method.autoencoder is not None
    judge, predict = method.autoencoder.eval(), Predictor(network, plan, _CPU)
    pool = {image: images[image] for image in others[:_POOL]}
    alone = _seconds(lambda: predictions(pool, predict, plan, _PRESET))
    judged = _seconds(lambda: image_qualities(pool, predict, judge, plan, _PRESET))
    return [
        Bound(
            "synthesised windows of 48 voxels cubed / real ones, read and augmented",
            f"{ratio:.2f} ({rates})",
            "at least 0.5",
            ratio >= 0.5,
        ),
        Bound(
            f"quality of {_POOL} volumes / their inference",
            f"{judged / alone:.2f} ({judged:.1f} against {alone:.1f} s)",
            "at most 1.2",
            judged / alone <= 1.2,
        ),
        Bound(
            "single_strip from one hippocampus label, by default",
            f"{minutes:.1f} min",
            f"under {_MINUTES} min",
            minutes < _MINUTES,
        ),
    ]


def _rates(transforms: Callable[..., Compose], pair: dict[str, str], plan: SegmentationPlan) -> list[float]:
    """Windows per second of a chain of transforms, which reads the files each time."""
    chain = transforms(_PRESET, plan, 0, ReadPair(_PRESET, plan))
    found = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        for _ in range(_WINDOWS):
            chain(pair)
        found.append(_WINDOWS / (time.perf_counter() - begin))
    return found


def _seconds(passes: Callable[[], Iterable[object]]) -> float:
    """Of a pass, the median of three."""
    found = []
    for _ in range(3):
        begin = time.perf_counter()
        for _ in passes():
            pass
        found.append(time.perf_counter() - begin)
    return statistics.median(found)
