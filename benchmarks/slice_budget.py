r"""What an annotator's slices are worth: so many single slices, propagated or not, beside whole volumes.

    python -m benchmarks.slice_budget ../shared/data/hippocampus --labels anterior,posterior
    python -m benchmarks.slice_budget ../shared/data/prostate/B --labels prostate

For each seed volumes of the pool are drawn. ``--slices`` of them get one drawn slice each, the one that holds most of
the labels across the widest spacing; ``--volumes`` others are drawn whole. The same U-Net with the same steps learns
from the single slices alone (what nobody looked at is ignored), from the volumes that registration makes of them, and
from the whole volumes. The test cases judge. "Drawn" counts the slices that hold a label.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xssr_strategy.images.detect import detect_preset
from xssr_strategy.images.preprocessing import conform, scale_intensity, spacing_of
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.names import IGNORE
from xssr_strategy.labels.reading import read_label, usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.geometry import to_file_axes
from xssr_strategy.segmentation.mask_files import write_mask
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.pair_cache import MemoryCache
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.propagation.propagate import propagate
from xssr_strategy.segmentation.propagation.registration import Registration
from xssr_strategy.segmentation.training import train
from xssr_strategy.simulation.domains import Domain, read_domain
from xssr_strategy.simulation.evaluation import score

CPU = torch.device("cpu")
Pair = Mapping[str, str]


def main(arguments: argparse.Namespace) -> None:
    """Print a row for each seed, then the means."""
    domain, names = read_domain(arguments.domain, "DOMAIN"), tuple(arguments.labels.split(","))
    preset = detect_preset([domain.images[domain.pool[0]]])
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in range(arguments.seeds):
        order = [domain.pool[place] for place in np.random.default_rng(seed).permutation(len(domain.pool))]
        single, whole = order[: arguments.slices], order[arguments.slices :][: arguments.volumes]
        with tempfile.TemporaryDirectory() as folder:
            kinds = _labels(domain, names, preset, single, Path(folder))
            kinds["whole volumes"] = [domain.labelled(image, names) for image in whole]
            drawn = {kind: len(single) for kind in kinds}
            drawn["whole volumes"] = sum(_slices_with_labels(domain, names, preset, image) for image in whole)
            for kind, pairs in kinds.items():
                dice = _trained_and_judged(domain, names, preset, pairs, arguments.steps, seed)
                found[kind].append((dice, drawn[kind]))
                print(f"seed {seed}, {kind}: {len(pairs)} volumes, {drawn[kind]} drawn, Dice {dice:.3f}", flush=True)
    print("\n| labels | volumes | drawn slices | Dice |\n| --- | ---: | ---: | ---: |")
    for kind, rows in found.items():
        dice, slices = np.mean(rows, axis=0)
        count = arguments.volumes if kind == "whole volumes" else arguments.slices
        print(f"| {kind} | {count} | {slices:.0f} | {dice:.3f} ± {np.std([row[0] for row in rows]):.3f} |")


def _labels(
    domain: Domain, names: Sequence[str], preset: Preset, images: Sequence[str], folder: Path
) -> dict[str, list[Pair]]:
    """Files of single slices, and of what registration makes of them."""
    kinds: dict[str, list[Pair]] = {"single slices": [], "single slices, propagated": []}
    for image in images:
        path = domain.images[image]
        volume = read_image(path)
        conformed, label = _label(domain, names, preset, image)
        affine, spacing = volume.affine.numpy(), spacing_of(volume)
        axis = max(range(3), key=lambda place: (round(spacing[place], 2), place))
        slices = np.moveaxis(label, axis, 0)
        place = int((slices > 0).sum(axis=(1, 2)).argmax())
        drawn = np.zeros_like(label)
        np.moveaxis(drawn, axis, 0)[place] = slices[place]
        grey = to_file_axes(scale_intensity(conformed.as_tensor(), preset)[0].numpy(), affine)
        alone = np.full_like(label, len(names) + 1)
        np.moveaxis(alone, axis, 0)[place] = slices[place]
        masks = alone, propagate(grey, drawn, names, spacing, Registration(), axis=axis).mask
        for (kind, pairs), mask in zip(kinds.items(), masks, strict=True):
            file = folder / f"{image}-{kind.replace(' ', '-')}.nii.gz"
            write_mask(mask, volume, path, str(file), compress=True)
            told = json.dumps([*names, IGNORE])
            pairs.append({"image": str(path), "label": str(file), **({"names": told} if mask is alone else {})})
    return kinds


def _label(domain: Domain, names: Sequence[str], preset: Preset, image: str) -> tuple[torch.Tensor, NDArray[np.uint8]]:
    """The image, conformed, and its label on the axes of the image's file."""
    volume = read_image(domain.images[image])
    conformed = conform(volume, preset, domain.images[image])
    label = read_label(domain.labelled(image, names)["label"], names, conformed)[0].numpy()
    return conformed, to_file_axes(label, volume.affine.numpy())


def _slices_with_labels(domain: Domain, names: Sequence[str], preset: Preset, image: str) -> int:
    """How many slices across the widest spacing hold a label."""
    _, label = _label(domain, names, preset, image)
    spacing = spacing_of(read_image(domain.images[image]))
    axis = max(range(3), key=lambda place: (round(spacing[place], 2), place))
    return int(label.any(axis=tuple({0, 1, 2} - {axis})).sum())


def _trained_and_judged(
    domain: Domain, names: Sequence[str], preset: Preset, pairs: Sequence[Pair], steps: int, seed: int
) -> float:
    """Mean Dice over test cases and labels."""
    usable, unusable = usable_pairs(pairs, preset, names)
    assert not unusable, unusable
    plan = plan_from(usable, preset, tuple(names))
    network = train(Supervised(steps), TrainingData(preset, usable, cache=MemoryCache(CPU)), plan, seed, CPU)
    cases = [score(network, plan, preset, domain.labelled(case, names), CPU).dice for case in sorted(domain.test)]
    return float(np.nanmean(cases))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", type=Path)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--volumes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args())
