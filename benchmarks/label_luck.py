"""How much of a strategy's result is luck with the labels that it happened to pick?

    python -m benchmarks.label_luck simulations/development/montgomery-shenzhen

Labels differ in how they were drawn: some annotators include what others leave out. What of a label its image does not
explain (the residual of a ridge regression of the mask on the image's vector, cross-validated) no selector
can see, but a network trained on a few such labels suffers. The Dice of every job is regressed on two means over its
picks, the residual area and the size of the residual; what is left is the result without that luck. The labels of the
whole pool are read: this judges rules on a development set, it is no part of any.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from torch.nn import functional as F

from xssr_strategy.embedding.checkpoint import load_encoder
from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.images.reading import read_image
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.simulation.domains import read_domain
from xssr_strategy.simulation.experiment import workspace_of
from xssr_strategy.simulation.results import JobResult, read_experiment_info, read_results
from xssr_strategy.simulation.strategies import FULL, SOURCE_ONLY

GRID, MASKS = 64, 20  # side of the masks, and their principal components


def unexplained(folder: Path, target: Path) -> tuple[dict[str, float], dict[str, float]]:
    """id -> residual area, and id -> size of the residual mask, of every image of the pool."""
    workspace = Workspace(folder)
    checkpoint = load_encoder(next(workspace.models.glob("encoder-*.safetensors")))
    labels = read_domain(target, "TARGET").labels
    images, vectors = EmbeddingStore(workspace.store).vectors(TARGET, checkpoint.id)
    vectors = PCA(min(128, len(images) - 1), random_state=0).fit_transform(vectors.astype(np.float64))
    masks = np.stack([_mask(labels[image]) for image in images])

    def residual(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = cross_val_predict(RidgeCV(np.logspace(-2, 6, 17)), vectors, values, cv=10)
        return values - np.asarray(found)

    area = residual(masks.mean(axis=1))
    shape = residual(PCA(MASKS, random_state=0).fit_transform(masks))
    return dict(zip(images, area, strict=True)), dict(zip(images, np.linalg.norm(shape, axis=1), strict=True))


def adjusted(
    jobs: list[JobResult], area: dict[str, float], size: dict[str, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean Dice of every job, the same without label luck, and the share of the variance that this takes away.

    The regression is within seeds: those have pools and trainings of their own.
    """
    dice = np.array([np.nanmean(job.dice) for job in jobs])
    luck = np.array([[np.mean([values[pick] for pick in job.picks]) for values in (area, size)] for job in jobs])
    seeds = np.array([job.job.seed for job in jobs])
    for seed in np.unique(seeds):
        luck[seeds == seed] -= luck[seeds == seed].mean(axis=0)
    centred = dice - np.array([dice[seeds == seed].mean() for seed in seeds])
    slopes, *_ = np.linalg.lstsq(luck, centred, rcond=None)
    return dice, dice - luck @ slopes, 1.0 - float(np.var(centred - luck @ slopes) / np.var(centred))


def main(out: Path, target: Path, workspace: Path) -> None:
    """Print a row per strategy and budget: points of Dice above random, as found and without label luck."""
    area, size = unexplained(workspace, target)
    for budget in sorted({job.job.budget for job in read_results(out)}):
        jobs = [
            job for job in read_results(out) if job.job.budget == budget and job.job.strategy not in (FULL, SOURCE_ONLY)
        ]
        if not jobs:
            continue
        found, without, explained = adjusted(jobs, area, size)
        print(f"{budget} labels: label luck explains {explained:.0%} of the variance between jobs of a seed")
        rows: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row, job in enumerate(jobs):
            rows[job.job.strategy][job.job.seed].append(row)
        at_random = rows["random"]
        for strategy, by_seed in rows.items():
            shown = []
            for values in (found, without):
                above = [
                    100 * (values[by_seed[seed]].mean() - values[at_random[seed]].mean())
                    for seed in by_seed.keys() & at_random.keys()
                ]
                shown.append(f"{np.mean(above):+.2f} +- {np.std(above, ddof=1) / np.sqrt(len(above)):.2f}")
            print(f"  {strategy:<20} found {shown[0]}   without label luck {shown[1]}   ({len(by_seed)} seeds)")


def _mask(path: Path) -> NDArray[np.float64]:
    label = (read_image(path).as_tensor()[:1] != 0).float()[None]
    if label.ndim == 5:
        label = label.mean(dim=4)
    return F.interpolate(label, size=(GRID, GRID), mode="area").flatten().double().numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of a simulation")
    parser.add_argument("target", type=Path, nargs="?", help="its target; by default the folder beside it")
    parser.add_argument("--workspace", type=Path, help="folder of embeddings.sqlite; by default the one in OUT")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = read_experiment_info(arguments.out).images
    stores = sorted(workspace_of(arguments.out).glob("*/embeddings.sqlite"))
    if arguments.workspace is None and not stores:
        parser.error(f"{arguments.out} holds no vectors; name the folder of embeddings.sqlite by --workspace")
    found = arguments.workspace or stores[0].parent
    main(arguments.out, arguments.target or Path(next(iter(images.values()))).parents[1], found)
