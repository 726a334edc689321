"""The strategies that a simulation compares, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from xssr_strategy.errors import UserError
from xssr_strategy.selection import (
    XSSR,
    ColdStart,
    CoreSet,
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


Rule = Callable[[int], Selector]
"""The selector of a seed. The seed is that of the job, so that a rule that draws is judged by several draws."""

ABLATIONS: Mapping[str, Rule] = {
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

RULES: Mapping[str, Rule] = {
    "xssr": lambda seed: XSSR(),
    "coreset": lambda seed: CoreSet(),
    "typiclust": lambda seed: TypiClust(seed=seed),
    "kmeans": lambda seed: KMeans(seed),
    "cold-start": lambda seed: ColdStart(seed=seed),
    "facility-location": lambda seed: FacilityLocation(),
    "prob-cover": lambda seed: ProbCover(seed=seed),
    RANDOM: lambda seed: Random(seed),
    **ABLATIONS,
}

GROUPS: Mapping[str, tuple[str, ...]] = {"ablations": tuple(ABLATIONS)}


def most_asked_for(names: Sequence[str]) -> str:
    """Which of these a report is about: the first that is compared with the others, else the first."""
    return next((name for name in names if name not in (RANDOM, FULL, SOURCE_ONLY)), names[0])


def parse_strategies(text: str) -> tuple[str, ...]:
    """The names of a comma list, each once, groups resolved.

    Raises:
        UserError: an unknown name.
    """
    known = (*RULES, FULL, SOURCE_ONLY, *GROUPS)
    names: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        if word not in known:
            close = difflib.get_close_matches(word, known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            shown = ", ".join(name for name in known if ":" not in name)
            raise UserError(f"--strategies {word}: no such strategy{hint}; choose among {shown}.")
        names += GROUPS.get(word, (word,))
    return tuple(dict.fromkeys(names))
