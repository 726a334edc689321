"""The strategies that a simulation compares, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from xssr_strategy.errors import UserError
from xssr_strategy.selection import (
    XSSR,
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


@dataclass(frozen=True)
class Rule:
    """How a strategy selects.

    Attributes:
        selector: the selector of a seed. The seed is that of the job, so that a rule that draws is judged by several
            draws.
        space: which part of the vectors it sees: the standardised content, or the layout as it is.
    """

    selector: Callable[[int], Selector]
    space: Literal["content", "layout"] = "content"


ABLATIONS: Mapping[str, Rule] = {
    "xssr:no-density": Rule(lambda seed: XSSR(without=["density"])),
    "xssr:no-novelty": Rule(lambda seed: XSSR(without=["novelty"])),
    "xssr:no-diversity": Rule(lambda seed: XSSR(without=["diversity"])),
    "xssr:alpha-0": Rule(lambda seed: XSSR(alpha=0.0)),
    "xssr:alpha-0.5": Rule(lambda seed: XSSR(alpha=0.5)),
    "xssr:alpha-0.9": Rule(lambda seed: XSSR(alpha=0.9)),
    "xssr:sum": Rule(lambda seed: XSSR(combination="sum")),
    "xssr:union": Rule(lambda seed: XSSR(coverage="union")),
}
"""XSSR with one choice changed; the group ``ablations``."""

CROSSED: Mapping[str, Rule] = {
    "xssr:layout": Rule(lambda seed: XSSR(), "layout"),
    "kmeans:layout": Rule(lambda seed: KMeans(seed), "layout"),
    "coreset:layout": Rule(lambda seed: CoreSet(), "layout"),
}
"""What the vectors contribute; the group ``crossed``."""

RULES: Mapping[str, Rule] = {
    "xssr": Rule(lambda seed: XSSR()),
    "coreset": Rule(lambda seed: CoreSet()),
    "typiclust": Rule(lambda seed: TypiClust(seed=seed)),
    "kmeans": Rule(lambda seed: KMeans(seed)),
    "facility-location": Rule(lambda seed: FacilityLocation()),
    "prob-cover": Rule(lambda seed: ProbCover(seed=seed)),
    RANDOM: Rule(lambda seed: Random(seed)),
    **ABLATIONS,
    **CROSSED,
}

GROUPS: Mapping[str, tuple[str, ...]] = {"ablations": tuple(ABLATIONS), "crossed": tuple(CROSSED)}


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
