"""Where the sets of images that a strategy picks lie among sets of the same size that were drawn at random.

The difference to the mean of random draws says whether a rule gains. Its place among them says how much there is to
gain at all: a rule at the 90th percentile can be 0.3 points above the mean on one pool and 10 on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.catalogue import RANDOM
from xssr_strategy.simulation.results import ExperimentInfo, JobResult
from xssr_strategy.simulation.scores import Array, Scores, gather, values_of
from xssr_strategy.simulation.statistics import count
from xssr_strategy.simulation.strategies import FULL, OF_SOURCE

WORST_SITE = "worst site"


@dataclass(frozen=True)
class SetRank:
    """The place of a strategy's sets among random ones at the same budget, trained by one method with the same seeds.

    A set is worth the mean Dice of its trainings. Where a strategy picks another set for every seed, each is ranked
    among the trainings of its seed, and the numbers are means over the sets.

    Attributes:
        strategy, method, budget: whose.
        part: what judges: "" for all test cases, ``label``, ``site`` or ``kind`` with its name, or ``WORST_SITE``: for
            each set the site with its lowest Dice.
        percentile: per cent of the random sets that are worse; ties count half.
        dice: of the strategy's sets, in [0, 1].
        random, worst, best: mean, lowest and highest Dice of the random sets.
        sets: different ones of the strategy.
        draws: random sets that each was ranked among.
        seeds: trainings of all sets together.
    """

    strategy: str
    method: str
    budget: int
    part: str
    percentile: float
    dice: float
    random: float
    worst: float
    best: float
    sets: int
    draws: int
    seeds: int

    @property
    def sentence(self) -> str:
        """For people who quote it."""
        judge, images = f", judged by {self.part}" if self.part else "", count(self.budget, "image")
        picked = f"The {images} that {self.strategy} picks train{'' if self.budget > 1 else 's'}"
        if self.sets > 1:
            picked = f"The {self.sets} sets of {images} that {self.strategy} picks train, on average,"
        return (
            f"{picked} a better network than {self.percentile:.0f} % of {count(self.draws, 'random set')} of that size"
            f"{judge}: Dice {self.dice:.3f}; random sets {self.worst:.3f} to {self.best:.3f}, mean {self.random:.3f}."
        )


class _Trained(NamedTuple):
    """One set beside random ones, with the same seeds and cases.

    Attributes:
        own: (seeds, cases) Dice.
        random: (draws, seeds, cases).
        cases: names of the last axis.
    """

    own: Array
    random: Array
    cases: tuple[str, ...]


_Judge = Callable[[Array, tuple[str, ...]], Array]
"""From Dice (..., seeds, cases) and the names of the cases to the worth of each set (...); NaN where there is none."""


def set_ranks(facts: ExperimentInfo, results: Sequence[JobResult]) -> list[SetRank]:
    """Every strategy and budget for which random sets have been trained.

    Judged by all test cases, each label, each kind, each site and the worst site.

    Args:
        facts: what all jobs share.
        results: those of one training method.

    Returns:
        The default strategy first, then by name and budget; labels and sites only where there are several, kinds where
        they are named.
    """
    judged = [("", results)]
    if len(facts.labels) > 1:
        judged += [(f"label {label}", _of_label(results, place)) for place, label in enumerate(facts.labels)]
    picked = _sets(results)
    found: list[SetRank] = []
    for part, some in judged:
        scores = gather(some, "dice")
        for (strategy, budget), sets in picked.items():
            if (RANDOM, budget) not in scores:
                continue
            own, random = scores[strategy, budget], scores[RANDOM, budget]
            trained = [one for seeds in sets if (one := _trained(own, random, seeds)) is not None]
            judges = {part: _mean, **({} if part else {**_kind_judges(facts), **_site_judges(facts)})}
            ranks = [_rank(own, name, judge, trained) for name, judge in judges.items()]
            found += [one for one in ranks if one is not None]
    return sorted(found, key=lambda one: (one.strategy != facts.default, one.strategy, one.budget))


def _rank(own: Scores, part: str, judge: _Judge, trained: Sequence[_Trained]) -> SetRank | None:
    """The place of the sets of ``own``; None where no case is judged."""
    pairs = [(judge(one.own, one.cases), judge(one.random, one.cases)) for one in trained]
    pairs = [(worth, random) for worth, random in pairs if np.isfinite(worth)]
    if not pairs:
        return None
    return SetRank(
        strategy=own.strategy,
        method=own.method,
        budget=own.budget,
        part=part,
        percentile=float(np.mean([100.0 * np.mean((r < worth) + 0.5 * (r == worth)) for worth, r in pairs])),
        dice=float(np.mean([worth for worth, _ in pairs])),
        random=float(np.mean([random.mean() for _, random in pairs])),
        worst=float(np.mean([random.min() for _, random in pairs])),
        best=float(np.mean([random.max() for _, random in pairs])),
        sets=len(pairs),
        draws=min(len(random) for _, random in pairs),
        seeds=sum(len(one.own) for one in trained),
    )


def _mean(values: Array, _: tuple[str, ...]) -> Array:
    found: Array = values.mean(axis=(-2, -1))
    return found


def _site_judges(facts: ExperimentInfo) -> Mapping[str, _Judge]:
    sites = {f"site {site.name}": _mean_of(frozenset(site.test)) for site in facts.sites if site.test}

    def worst(values: Array, cases: tuple[str, ...]) -> Array:
        each = np.array([judge(values, cases) for judge in sites.values()])
        lowest: Array = each[np.isfinite(each).reshape(len(each), -1).all(axis=1)].min(axis=0)
        return lowest

    return {**sites, WORST_SITE: worst} if len(sites) > 1 else {}


def _kind_judges(facts: ExperimentInfo) -> Mapping[str, _Judge]:
    cases: dict[str, set[str]] = {}
    for case, kind in facts.kinds.items():
        cases.setdefault(f"kind {kind}", set()).add(case)
    return {name: _mean_of(frozenset(some)) for name, some in sorted(cases.items())}


def _mean_of(wanted: frozenset[str]) -> _Judge:
    def judge(values: Array, cases: tuple[str, ...]) -> Array:
        places = [place for place, case in enumerate(cases) if case in wanted]
        if not places:
            return np.full(values.shape[:-2], np.nan)
        return values[..., places].mean(axis=(-2, -1))

    return judge


def _sets(results: Iterable[JobResult]) -> Mapping[tuple[str, int], list[tuple[int, ...]]]:
    """Strategy and budget -> the seeds of each different set of images, beside the same random sets.

    With several encoders or parts of the pool a draw has other images for another seed.
    """
    drawn = {
        (one.job.budget, one.job.seed): frozenset(one.picks)
        for one in sorted(results, key=lambda result: -result.job.draw)
        if one.job.strategy == RANDOM
    }
    found: dict[tuple[str, int], dict[object, list[int]]] = {}
    for one in sorted(results, key=lambda result: result.job.seed):
        budget, seed = one.job.budget, one.job.seed
        if one.job.strategy not in (RANDOM, FULL, *OF_SOURCE) and (budget, seed) in drawn:
            sets = found.setdefault((one.job.strategy, budget), {})
            sets.setdefault((frozenset(one.picks), drawn[budget, seed]), []).append(seed)
    return {key: [tuple(seeds) for seeds in sets.values()] for key, sets in found.items()}


def _trained(own: Scores, random: Scores, seeds: Sequence[int]) -> _Trained | None:
    """A set beside random ones; None if there is none.

    While trainings are missing, the largest number of them in which every random set has the same seeds. A case without
    a score in one of the trainings is left out of all.
    """
    both = [seed for seed in seeds if seed in random.seeds]
    cases = sorted(set(own.cases) & set(random.cases))
    if not both or not cases:
        return None
    one, others = values_of(own, both, cases)[0], values_of(random, both, cases)
    done = np.isfinite(others).any(axis=2)  # (draws, seeds)
    seen = max(np.unique(done, axis=0), key=lambda wanted: int(done[:, wanted].all(axis=1).sum() * wanted.sum()))
    one, others = one[seen], others[done[:, seen].all(axis=1)][:, seen]
    counted: NDArray[np.bool_] = np.isfinite(one).all(axis=0) & np.isfinite(others).all(axis=(0, 1))
    if not len(others) or not seen.any() or not counted.any():
        return None
    names = tuple(case for case, counts in zip(cases, counted, strict=True) if counts)
    return _Trained(one[:, counted], others[:, :, counted], names)


def _of_label(results: Iterable[JobResult], place: int) -> list[JobResult]:
    """The same results as if one label were all there is."""
    return [replace(one, dice=tuple((row[place],) for row in one.dice)) for one in results]
