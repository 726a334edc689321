"""How well the picks of every selector cover a pool: alpha, mean and max coverage in one table.

``python -m benchmarks.coverage TARGET SOURCE [--exclude FILE] [--workspace DIR] [--budget 22] [--seeds 5]``
trains the encoder on SOURCE and embeds both folders first; a workspace is used again. No label is looked at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from xssr_strategy.commands.progress import StageProgress
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.lists import read_ids
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.ranking import standardised_vectors
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.selection import XSSR, CoreSet, FacilityLocation, KMeans, ProbCover, Random, Selector, TypiClust
from xssr_strategy.settings import parse_settings

Vectors = np.ndarray


def selectors(seeds: int) -> dict[str, list[Selector]]:
    """Name -> the selector, once for each seed if it draws random numbers."""
    return {
        "XSSR": [XSSR()],
        "XSSR, coverage union": [XSSR(coverage="union")],
        "XSSR, sum": [XSSR(combination="sum")],
        "XSSR without density": [XSSR(without=["density"])],
        "XSSR without novelty": [XSSR(without=["novelty"])],
        "XSSR without diversity": [XSSR(without=["diversity"])],
        "CoreSet": [CoreSet()],
        "FacilityLocation": [FacilityLocation()],
        "ProbCover": [ProbCover(seed=seed) for seed in range(seeds)],
        "TypiClust": [TypiClust(seed=seed) for seed in range(seeds)],
        "KMeans": [KMeans(seed=seed) for seed in range(seeds)],
        "Random": [Random(seed=seed) for seed in range(4 * seeds)],
    }


def coverage_table(target: Vectors, source: Vectors, budget: int, seeds: int) -> Table:
    """Mean over the seeds, and the standard deviation where there are several."""
    table = Table(title=f"{budget} of {len(target)} images", title_justify="left")
    for column in ("selector", "alpha", "mean coverage", "max coverage"):
        table.add_column(column, justify="left" if column == "selector" else "right")
    for name, some in selectors(seeds).items():
        runs = [selector.select(target, budget, source) for selector in some]
        alpha = "" if runs[0].alpha is None else f"{runs[0].alpha:.1f}"
        figures = (np.array([run.mean_coverage for run in runs]), np.array([run.max_coverage for run in runs]))
        spread = [f" ± {values.std(ddof=1):.3f}" if len(runs) > 1 else "" for values in figures]
        table.add_row(name, alpha, *(f"{values.mean():.3f}{s}" for values, s in zip(figures, spread, strict=True)))
    return table


def novelty_table(target: Vectors, source: Vectors, budget: int) -> Table:
    """What the calibration does to novelty: both coverages, and the mean distance of the picks to the source."""
    table = Table(title="Calibration: mean coverage, and how far the picks are from the source", title_justify="left")
    for column in ("alpha", "coverage target", "coverage union", "mean distance of the picks to the source"):
        table.add_column(column, justify="right")
    rule = XSSR().terms(target, source)
    assert rule.novelty is not None
    for_target, for_union = (
        XSSR(coverage=coverage).select(target, budget, source)  # type: ignore[arg-type]
        for coverage in ("target", "union")
    )
    for (alpha, pool, _), (_, union, _) in zip(for_target.calibration, for_union.calibration, strict=True):
        picks = XSSR(alpha).select(target, budget, source).indices
        marks = ["  <-" if alpha == chosen.alpha else "    " for chosen in (for_target, for_union)]
        table.add_row(
            f"{alpha:.1f}", f"{pool:.4f}{marks[0]}", f"{union:.4f}{marks[1]}", f"{rule.novelty[picks].mean():.3f}"
        )
    table.add_row("pool", "", "", f"{rule.novelty.mean():.3f}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--exclude", type=Path)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--budget", type=int, default=22)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    console = Console(width=120)
    settings = parse_settings({"source": str(arguments.source)})
    found = find_images(arguments.target)
    excluded = read_ids(arguments.exclude, found) if arguments.exclude else ()
    pool = {image: path for image, path in found.items() if image not in excluded}
    with tempfile.TemporaryDirectory() as folder, StageProgress(console) as progress:
        workspace = Workspace(arguments.workspace or Path(folder))
        store = EmbeddingStore(workspace.store)
        preset = pipeline.choose_preset(pool, settings, store)
        checkpoint, _ = pipeline.prepare(pool, settings, preset, workspace, store, progress)
        _, target, source = standardised_vectors(checkpoint.id, pool, store)
    assert source is not None
    console.print(coverage_table(target, source, arguments.budget, arguments.seeds))
    console.print(novelty_table(target, source, arguments.budget))
    return 0


if __name__ == "__main__":
    sys.exit(main())
