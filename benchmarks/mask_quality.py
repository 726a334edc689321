r"""How well the quality of a mask tells its true Dice: the autoencoder, agreement under augmentation, confidence.

The software judges by the autoencoder and the confidence together; each alone stands beside it.

    python -m benchmarks.mask_quality ../shared/data/cxr-lung/shenzhen --labels lung --size 64 --steps 500 --count 1
    python -m benchmarks.mask_quality ../shared/data/hippocampus --labels anterior,posterior --steps 300 --count 1
    python -m benchmarks.mask_quality ../shared/data/prostate-slices/B --labels 1 --size 64 --steps 500 --count 8 \
        --judged ../shared/data/prostate-slices/D

For each seed a network is trained on ``--count`` images of the pool, and segments others of the pool, or those of the
pool of ``--judged``, whose labels it does not see. Test cases are not used. Prints Spearman's correlation of each
quality with the true Dice, how many of the masks above and below a Dice of 0.8 the best limit of a quality tells apart,
how many of the worst tenth are in the first tenth of the queue, the mean difference between quality and true Dice, and
the time beside that of the prediction.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from xssr_strategy.images.detect import detect_preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.geometry import network_image, network_label
from xssr_strategy.segmentation.inference import Predictor
from xssr_strategy.segmentation.mask_quality import (
    AugmentationAgreement,
    MaskAutoencoder,
    MaskQuality,
    MeanConfidence,
    Predict,
    dice,
    label_maps,
)
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.mask_autoencoding import WithMaskQuality
from xssr_strategy.segmentation.pair_cache import MemoryCache
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import train
from xssr_strategy.simulation.domains import Domain, read_domain
from xssr_strategy.simulation.evaluation import read_case

_CPU = torch.device("cpu")
_GOOD = 0.8


def main(arguments: argparse.Namespace) -> None:
    """Print a row for each seed and judge, then the means."""
    domain, names = read_domain(arguments.domain, "DOMAIN"), tuple(arguments.labels.split(","))
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for seed in range(arguments.seeds):
        for judge, figures in _judged(domain, names, arguments, seed).items():
            found[judge].append(figures)
            print(f"seed {seed}, {judge}: " + _words(figures), flush=True)
    titles = (
        "Spearman",
        "Dice above 0.8 or not",
        "worst tenth in the first tenth",
        "difference",
        "time of a prediction",
    )
    print("\n| judge | " + " | ".join(titles) + " |")
    print("| --- |" + " ---: |" * len(titles))
    for judge, rows in found.items():
        mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0)
        shares = [f"{100 * value:.0f} %" for value in mean[1:3]]
        cells = [f"{mean[0]:.2f} ± {spread[0]:.2f}", *shares, f"{mean[3]:.2f}", f"{mean[4]:.2f}"]
        print(f"| {judge} | " + " | ".join(cells) + " |")


def _judged(
    domain: Domain, names: Sequence[str], arguments: argparse.Namespace, seed: int
) -> dict[str, tuple[float, ...]]:
    pool = [domain.pool[place] for place in np.random.default_rng(seed).permutation(len(domain.pool))]
    labelled, others = pool[: arguments.count], pool[arguments.count :]
    seen_on = domain
    if arguments.judged:
        seen_on = read_domain(arguments.judged, "--judged")
        others = [seen_on.pool[place] for place in np.random.default_rng(seed).permutation(len(seen_on.pool))]
    others = others[: arguments.images]
    preset = detect_preset([domain.images[image] for image in labelled])
    preset = replace(preset, segmentation_size=arguments.size or preset.segmentation_size)
    usable, _ = usable_pairs([domain.labelled(image, names) for image in labelled], preset, names)
    plan = plan_from(usable, preset, tuple(names))
    method = WithMaskQuality(METHODS[arguments.training](arguments.steps))
    network = train(method, TrainingData(preset, usable, cache=MemoryCache(_CPU)), plan, seed, _CPU)
    assert method.autoencoder is not None
    predict = Predictor(network, plan, _CPU)
    autoencoder = method.autoencoder.eval()
    judges: list[MaskQuality] = [autoencoder, _AutoencoderAlone(autoencoder), AugmentationAgreement(), MeanConfidence()]
    true: list[float] = []
    quality: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for image in others:
        pixels, label = read_case(seen_on.labelled(image, names), preset, names)
        seen = network_image(pixels, preset, plan)
        begin = time.perf_counter()
        logits = predict(seen)
        seconds["prediction"] += time.perf_counter() - begin
        truth = network_label(label[None], seen.shape[1:])[0]
        true.append(float(dice(label_maps(logits.argmax(0), len(names)), label_maps(truth, len(names))).mean()))
        for judge in judges:
            begin = time.perf_counter()
            quality[judge.name].append(float(judge.quality(seen, logits, predict).mean()))
            seconds[judge.name] += time.perf_counter() - begin
    print(f"seed {seed}: Dice {np.mean(true):.3f}, from {min(true):.3f} to {max(true):.3f}, {len(true)} images")
    relative = {name: seconds[name] / seconds["prediction"] for name in quality}
    return {name: _figures(np.array(values), np.array(true), relative[name]) for name, values in quality.items()}


class _AutoencoderAlone(MaskQuality):
    """The quality that the paper has."""

    name = "autoencoder alone"

    def __init__(self, autoencoder: MaskAutoencoder) -> None:
        self._autoencoder = autoencoder

    def quality(self, image: Tensor, logits: Tensor, predict: Predict) -> Tensor:
        return self._autoencoder.quality_of_mask(logits.argmax(0), len(logits) - 1)


def _figures(quality: NDArray[np.float64], true: NDArray[np.float64], relative: float) -> tuple[float, ...]:
    """Spearman's correlation, share told apart, share of the worst tenth found, difference, time."""
    tenth = max(1, round(len(true) / 10))
    worst, first = set(np.argsort(true)[:tenth].tolist()), set(np.argsort(quality)[:tenth].tolist())
    told = max(float(np.mean((quality > limit) == (true > _GOOD))) for limit in (-1.0, *quality))
    difference = float(np.mean(np.abs(quality - true)))
    return float(spearmanr(quality, true)[0]), told, len(worst & first) / tenth, difference, relative


def _words(figures: Sequence[float]) -> str:
    names = ("Spearman", "told apart", "worst tenth", "difference", "time")
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(names, figures, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", type=Path)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--count", type=int, default=1, help="labels")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--images", type=int, default=100, help="judged, at most")
    parser.add_argument("--judged", type=Path, help="domain whose images are judged; by default others of the pool")
    parser.add_argument("--training", default="supervised")
    main(parser.parse_args())
