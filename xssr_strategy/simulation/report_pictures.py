"""The pictures of images in a simulation's report: what every strategy picked, and where the segmentation failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xssr_strategy.simulation.report_numbers import NOTHING, Numbers
from xssr_strategy.simulation.results import JobResult
from xssr_strategy.simulation.scores import budgets, mean
from xssr_strategy.simulation.thumbnails import data_uri

PICKS, WORST = 60, 4
"""Picks of a strategy and worst cases that are shown at most; our choice."""


@dataclass(frozen=True)
class PickGallery:
    """The first picks of one job.

    Attributes:
        strategy: its name.
        budget: labels of the job.
        images: (id, picture) in pick order.
        left_out: picks that are not shown.
    """

    strategy: str
    budget: int
    images: tuple[tuple[str, str], ...]
    left_out: int


@dataclass(frozen=True)
class WorstCase:
    """A test case.

    Attributes:
        case: its id.
        dice, hd95: means over the seeds, as text.
        picture: of the first seed that drew one, or None.
    """

    case: str
    dice: str
    hd95: str
    picture: str | None


def picks_of(numbers: Numbers, results: Sequence[JobResult], picture: Callable[[str], str]) -> list[PickGallery]:
    """For every strategy its first job with the largest budget that can be shown whole, else with the smallest.

    Args:
        picture: from an image's id.
    """
    found = []
    for name in numbers.names:
        run = budgets(numbers.dice, name)
        budget = max((one for one in run if one <= PICKS), default=run[0])
        job = first_job(results, name, budget)
        shown = tuple((image, picture(image)) for image in job.picks[:PICKS])
        found.append(PickGallery(name, budget, shown, len(job.picks) - len(shown)))
    return found


def worst_cases(out: Path, numbers: Numbers, results: Sequence[JobResult], key: tuple[str, int]) -> list[WorstCase]:
    """The test cases with the lowest mean Dice of a strategy at a budget, the worst first."""
    dice, hd95 = numbers.dice[key], numbers.hd95[key]
    means = [mean(mean(scores.values, axis=0), axis=0) for scores in (dice, hd95)]
    jobs = [one for one in results if (one.job.strategy, one.job.budget) == key]
    order = [int(place) for place in np.argsort(means[0]) if np.isfinite(means[0][place])]
    return [
        WorstCase(
            dice.cases[place],
            f"{means[0][place]:.3f}",
            f"{means[1][place]:.1f}" if np.isfinite(means[1][place]) else NOTHING,
            _picture(out, jobs, dice.cases[place]),
        )
        for place in order[:WORST]
    ]


def first_job(results: Sequence[JobResult], strategy: str, budget: int) -> JobResult:
    """That of the smallest seed and, of that, the smallest draw."""
    jobs = [one for one in results if (one.job.strategy, one.job.budget) == (strategy, budget)]
    return min(jobs, key=lambda one: (one.job.seed, one.job.draw))


def _picture(out: Path, jobs: Sequence[JobResult], case: str) -> str | None:
    drawn = (out / "overlays" / one.training / f"{case}.png" for one in jobs if case in one.overlays)
    file = next((file for file in drawn if file.is_file()), None)
    return None if file is None else data_uri(file.read_bytes())
