"""The strategies that a simulation compares, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.selection import (
    XSSR,
    ColdStart,
    CoreSet,
    EntropyDiversity,
    FacilityLocation,
    KMeans,
    ProbCover,
    Random,
    Selector,
    TypiClust,
)

FULL = "full"
"""The whole pool, labelled."""

SOURCE_ONLY = "source-only"
"""The labels of the source domain, and none of the target's."""

RANDOM = "random"
"""Has draws of its own, each trained with every seed."""


SelectorFactory = Callable[[int], Selector]
"""The selector of a seed. The seed is that of the job, so that a rule that draws is judged by several draws."""

ABLATIONS: Mapping[str, SelectorFactory] = {
    "xssr:no-density": lambda seed: XSSR(without=["density"]),
    "xssr:no-novelty": lambda seed: XSSR(without=["novelty"]),
    "xssr:no-diversity": lambda seed: XSSR(without=["diversity"]),
    "xssr:alpha-0": lambda seed: XSSR(alpha=0.0),
    "xssr:alpha-0.5": lambda seed: XSSR(alpha=0.5),
    "xssr:alpha-0.9": lambda seed: XSSR(alpha=0.9),
    "xssr:sum": lambda seed: XSSR(combination="sum"),
    "xssr:union": lambda seed: XSSR(coverage="union"),
}
"""XSSR with one choice changed; the group ``ablations``."""

RULES: Mapping[str, SelectorFactory] = {
    "xssr": lambda seed: XSSR(),
    "coreset": lambda seed: CoreSet(),
    "typiclust": lambda seed: TypiClust(seed=seed),
    "kmeans": lambda seed: KMeans(seed),
    "cold_start": lambda seed: ColdStart(seed=seed),
    "facility-location": lambda seed: FacilityLocation(),
    "prob-cover": lambda seed: ProbCover(seed=seed),
    RANDOM: lambda seed: Random(seed),
    **ABLATIONS,
}


@dataclass(frozen=True)
class ModelBasedStrategy:
    """A strategy of several rounds that asks the network which it trained in the round before.

    Attributes:
        first: rule of ``RULES`` while there are fewer than ``after`` labels.
        after: number of labels from which the network is asked.
        then: from the entropy of every image of the pool to the selector.
    """

    first: str
    after: int
    then: Callable[[NDArray[np.float64]], Selector]


SWITCH = 10
"""Labels from which ``auto`` asks the network, our choice."""

LEARNERS: Mapping[str, ModelBasedStrategy] = {
    "entropy_diversity": ModelBasedStrategy("cold_start", 1, EntropyDiversity),
    "auto": ModelBasedStrategy("xssr", SWITCH, EntropyDiversity),
}


def learner(name: str) -> ModelBasedStrategy:
    """Of a strategy of several rounds."""
    return LEARNERS[name]


def asks_the_network(name: str, labelled: int) -> bool:
    """Whether a strategy with this many labels asks the network trained on them.

    >>> asks_the_network("auto", 5), asks_the_network("auto", 10)  # ``auto`` begins without it
    (False, True)
    >>> asks_the_network("xssr", 10)
    False
    """
    return name in LEARNERS and labelled >= LEARNERS[name].after


GROUPS: Mapping[str, tuple[str, ...]] = {"ablations": tuple(ABLATIONS)}


def most_asked_for(names: Sequence[str]) -> str:
    """Which of these a report is about: the first that is compared with the others, else the first.

    >>> most_asked_for(["random", "full", "xssr", "coreset"])
    'xssr'
    """
    return next((name for name in names if name not in (RANDOM, FULL, SOURCE_ONLY)), names[0])


def parse_strategies(text: str) -> tuple[str, ...]:
    """The names of a comma list, each once, groups resolved; ``cold-start`` is ``cold_start``.

    Raises:
        UserError: an unknown name.

    >>> parse_strategies("xssr, cold-start, random")
    ('xssr', 'cold_start', 'random')
    >>> parse_strategies("ablations")[:2]  # a group: XSSR with one choice changed
    ('xssr:no-density', 'xssr:no-novelty')
    >>> parse_strategies("corset")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    xssr_strategy.errors.UserError: --strategies corset: no such strategy (did you mean coreset?); choose among ...
    """
    known = {_key(name): name for name in (*RULES, *LEARNERS, FULL, SOURCE_ONLY, *GROUPS)}
    names: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        name = known.get(_key(word))
        if name is None:
            close = difflib.get_close_matches(_key(word), known, n=1)
            hint = f" (did you mean {known[close[0]]}?)" if close else ""
            shown = ", ".join(name for name in known.values() if ":" not in name)
            raise UserError(f"--strategies {word}: no such strategy{hint}; choose among {shown}.")
        names += GROUPS.get(name, (name,))
    return tuple(dict.fromkeys(names))


def _key(name: str) -> str:
    """Names are told apart by their words."""
    return name.replace("-", "_")
