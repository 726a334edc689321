r"""How well does a recipe learn a few labels, and how fast? Judged on a development domain, never on test cases.

    python -m benchmarks.development ../shared/data/cxr-lung/shenzhen simulations/development/shenzhen
    python -m benchmarks.recipe simulations/development/shenzhen --labels lung --size 128 --full \
        --recipes 8:0.002:0:400,2:0.004:0.05:800

A recipe is BATCH:RATE:WARM-UP:STEPS. Each is trained on the same sets, drawn at random, with the same seeds, and is
compared with the first. ``--full`` trains on the whole pool too, twice as long.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xssr_strategy.images.detect import detect_preset
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.recipe import Recipe
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.pair_cache import MemoryCache
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.training import train
from xssr_strategy.simulation.annotator import SimulatedAnnotator
from xssr_strategy.simulation.domains import read_domain
from xssr_strategy.simulation.evaluation import score
from xssr_strategy.simulation.experiment import cases_of
from xssr_strategy.simulation.workers import inherited, worker_pool

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Task:
    """One training."""

    domain: Path
    picks: tuple[str, ...]
    preset: Preset
    labels: tuple[str, ...]
    recipe: Recipe
    steps: int
    seed: int


def run(task: Task) -> tuple[float, float]:
    """Mean Dice of the development cases, and the seconds of the training."""
    torch.set_num_threads(1)
    domain = read_domain(task.domain, "DOMAIN")
    pairs = SimulatedAnnotator(domain).annotate(task.picks)
    began = time.monotonic()
    usable, _ = usable_pairs(pairs, task.preset, task.labels)
    plan, data = plan_from(usable, task.preset, task.labels), TrainingData(task.preset, usable, cache=MemoryCache(CPU))
    network = train(Supervised(task.steps, recipe=task.recipe), data, plan, task.seed, CPU)
    seconds = time.monotonic() - began
    found = [np.nanmean(score(network, plan, task.preset, case, CPU).dice) for case in cases_of(domain).values()]
    return float(np.mean(found)), seconds


def parse(text: str) -> tuple[Recipe, int]:
    """BATCH:RATE:WARM-UP:STEPS -> the recipe and the steps."""
    batch_size, learning_rate, warm_up, steps = text.split(":")
    return Recipe(int(batch_size), float(learning_rate), float(warm_up)), int(steps)


def main(arguments: argparse.Namespace) -> None:
    """Print a row per recipe: Dice, and points above the first recipe, of the few labels and of the whole pool."""
    domain = read_domain(arguments.domain, "DOMAIN")
    preset = detect_preset([domain.images[image] for image in domain.pool])
    if arguments.size:
        preset = replace(preset, segmentation_size=arguments.size)
    draws = [np.random.default_rng(number).permutation(sorted(domain.pool)) for number in range(arguments.sets)]
    sets = {"few": [tuple(draw[: arguments.budget].tolist()) for draw in draws]}
    if arguments.full:
        sets["full"] = [tuple(sorted(domain.pool))]
    tasks = [
        Task(arguments.domain, picks, preset, tuple(arguments.labels.split(",")), recipe, steps * times, seed)
        for recipe, steps in map(parse, arguments.recipes.split(","))
        for drawn, times in zip(sets.values(), (1, 2), strict=False)
        for picks in drawn
        for seed in range(arguments.seeds)
    ]
    with worker_pool(arguments.jobs) as pool:
        with inherited(1):  # the processes are started here
            waiting = pool.map(run, tasks)
        found = iter(list(waiting))
    first: dict[str, NDArray[np.float64]] = {}
    for text in arguments.recipes.split(","):
        for kind, drawn in sets.items():
            dice, seconds = np.array([next(found) for _ in range(len(drawn) * arguments.seeds)]).T
            above = 100 * (dice - first.setdefault(kind, dice))
            spread = above.std(ddof=1) / np.sqrt(len(above)) if len(above) > 1 else float("nan")
            print(
                f"{text:<20} {kind:<5} Dice {dice.mean():.4f}   points above the first {above.mean():+.2f} "
                f"+- {spread:.2f}   {seconds.mean():.0f} s   ({len(dice)} trainings)"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", type=Path, help="folder made by benchmarks.development")
    parser.add_argument("--recipes", required=True, help="BATCH:RATE:WARM-UP:STEPS, separated by commas")
    parser.add_argument("--labels", default="foreground", help="names of the labels, separated by commas")
    parser.add_argument("--size", type=int, help="2-D: side of what the U-Net sees")
    parser.add_argument("--budget", type=int, default=22)
    parser.add_argument("--sets", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    main(parser.parse_args())
