"""What learning from unlabelled images costs: a step beside a supervised one, memory, and reading."""

from __future__ import annotations

import itertools
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.bound import Bound
from tests.support.data import HIPPOCAMPUS, SHENZHEN, held_out
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.catalogue import METHODS
from xssr_strategy.segmentation.methods.loaders import unlabelled_batches
from xssr_strategy.segmentation.pair_cache import DiskCache, MemoryCache, NoCache, PairCache
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import train
from xssr_strategy.segmentation.transforms import unlabelled_transforms

_XRAY, _MRI = PRESETS["xray"], PRESETS["mri"]
_SMALL = replace(_XRAY, segmentation_size=128)
_CPU = torch.device("cpu")
_LABELS, _REPEATS, _STEPS, _READ = 8, 5, 40, 200
_MANY, _FEW = 2000, 50
_NAMES = {2: ("lung",), 3: ("anterior", "posterior")}
_KINDS = {"128 pixels": (_SMALL, SHENZHEN), "192 pixels": (_XRAY, SHENZHEN), "hippocampus": (_MRI, HIPPOCAMPUS)}


def run() -> list[Bound]:
    found: list[Bound] = []
    for kind, (preset, folder) in _KINDS.items():
        found += _steps(kind, _data(preset, folder, _FEW, MemoryCache(_CPU)))
    many, few = _peak(_MANY), _peak(_FEW)
    ratios, rates = _reading()
    return [
        *found,
        Bound(
            f"ust_run, peak memory, {_MANY:,} unlabelled images / {_FEW}",
            f"{many / few:.2f} ({many:.0f} and {few:.0f} MB)",
            "at most 1.1",
            many / few <= 1.1,
        ),
        Bound(
            "unlabelled images through the loader / bare loop of reading and augmenting",
            f"{ratios:.2f} ({rates[0]:.0f} against {rates[1]:.0f} images/s)",
            "at least 0.8",
            ratios >= 0.8,
        ),
    ]


def _steps(kind: str, data: TrainingData) -> Iterator[Bound]:
    """A step of each method, and its training of the length that the server gives it, beside a supervised one."""
    seconds: dict[str, list[float]] = {name: [] for name in ("supervised", "fixmatch", "ust_run")}
    for name in seconds:
        _train(name, data)  # reads the images
    for _, name in itertools.product(range(_REPEATS), seconds):
        seconds[name].append(_train(name, data))
    step = {name: 1000 * statistics.median(values) / _STEPS for name, values in seconds.items()}
    for name in ("fixmatch", "ust_run"):
        times = step[name] / step["supervised"]
        told = f"{times:.2f} ({step[name]:.0f} against {step['supervised']:.0f} ms)"
        yield Bound(f"a step of {name} / a supervised step, {kind}", told, "at most 4", times <= 4)
        times *= METHODS[name].epochs / METHODS["supervised"].epochs
        yield Bound(f"a training by {name} / a supervised one, {kind}", f"{times:.2f}", "at most 3", times <= 3)


def _data(preset: Preset, folder: Path, unlabelled: int, cache: PairCache) -> TrainingData:
    """Eight labels and so many unlabelled images of the pool; beyond its size they come again under other ids."""
    test = set(held_out(folder))
    images = [path for image, path in find_images(folder / "images").items() if image not in test]
    pairs = [{"image": str(path), "label": str(folder / "labels" / path.name)} for path in images[:_LABELS]]
    usable, _ = usable_pairs(pairs, preset, _NAMES[preset.spatial_dims])
    others = itertools.cycle(images[_LABELS:])
    return TrainingData(preset, usable, {f"{n:05}": next(others) for n in range(unlabelled)}, cache)


def _train(name: str, data: TrainingData) -> float:
    plan = plan_from(data.labelled, data.preset, _NAMES[data.preset.spatial_dims])
    begin = time.perf_counter()
    train(METHODS[name](_STEPS), data, plan, 0, _CPU)
    return time.perf_counter() - begin


def _peak(unlabelled: int) -> float:
    """Peak memory, in MB, of a training in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.semi_supervised", str(unlabelled)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def _reading() -> tuple[float, tuple[float, float]]:
    """Images per second through the loader against the bare loop, and both."""
    data = _data(_SMALL, SHENZHEN, _READ, NoCache())
    plan = plan_from(data.labelled, _SMALL, ("lung",))
    through, bare = [], []
    for seed in range(_REPEATS):
        begin = time.perf_counter()
        batches = unlabelled_batches(data, plan, _READ // 2, 2, seed)
        assert batches is not None
        read = sum(len(batch["weak"]) for batch in batches)
        through.append(read / (time.perf_counter() - begin))
        chain = unlabelled_transforms(_SMALL, plan, seed)
        begin = time.perf_counter()
        for path in data.unlabelled.values():
            chain({"image": str(path)})
        bare.append(_READ / (time.perf_counter() - begin))
    ratio = statistics.median(one / other for one, other in zip(through, bare, strict=True))
    return ratio, (statistics.median(through), statistics.median(bare))


def _train_with(count: int, folder: Path) -> None:
    """Read so many different files once, and train."""
    data = _data(_SMALL, SHENZHEN, count, DiskCache(folder))
    copies = {image: folder / f"{image}{path.suffix}" for image, path in data.unlabelled.items()}
    for image, path in data.unlabelled.items():
        shutil.copyfile(path, copies[image])
    data = replace(data, unlabelled=copies)
    plan = plan_from(data.labelled, _SMALL, ("lung",))
    for _ in unlabelled_batches(data, plan, count // 2, 2, 0) or ():
        pass
    train(METHODS["ust_run"](150), data, plan, 0, _CPU)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        _train_with(int(sys.argv[1]), Path(temporary))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
