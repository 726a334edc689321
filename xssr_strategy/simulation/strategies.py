"""The strategies that a simulation compares, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from xssr_strategy.errors import UserError
from xssr_strategy.selection.catalogue import ABLATIONS, CLASP_PE, MODEL_BASED, RANDOM, SELECTORS, XSSR_NETWORK
from xssr_strategy.simulation.results import JobResult

FULL = "full"
"""The whole pool, labelled."""

SOURCE_ONLY = "source-only"
"""The labels of the source domain, and none of the target's."""

SOURCE_XSSR = "source-only:xssr"
"""As ``source-only`` with the labels of the source images that are nearest to XSSR's picks of the target."""

OF_SOURCE = (SOURCE_ONLY, SOURCE_XSSR)
"""Strategies that annotate nothing of the target."""

SOURCE_NETWORK = "xssr:source-network"
"""XSSR on the features of the network of ``source-only``, in place of the encoder's vectors."""


def asks_the_network(name: str, labelled: int) -> bool:
    """Whether a strategy with this many labels asks the network trained on them.

    >>> asks_the_network("auto", 5), asks_the_network("auto", 10)  # ``auto`` begins without it
    (False, True)
    >>> asks_the_network("xssr", 10), asks_the_network("xssr:source-network", 0)  # the latter asks that of source-only
    (False, True)
    """
    return name == SOURCE_NETWORK or (name in MODEL_BASED and labelled >= MODEL_BASED[name].after)


def asks_features(strategy: str) -> bool:
    """Whether a strategy asks the network for its features of the whole pool, not for entropies of what is left."""
    return strategy in (XSSR_NETWORK, SOURCE_NETWORK)


def said_by_network(result: JobResult, strategy: str) -> Mapping[str, tuple[float, ...]]:
    """What the network of a result has said of each image for a strategy in the next round; empty if nothing."""
    values = result.features if asks_features(strategy) else result.entropies
    enough = strategy != CLASP_PE or all(len(each) > 1 for each in values.values())
    return values if enough else {}


PER_PATIENT, PER_SITE = "xssr:per-patient", "xssr:per-site"
"""XSSR that picks no second image of a patient, or of a site, before each has one."""

RANDOM_FOREGROUND = "random:foreground"
"""Drawn among the images whose label holds anything, which only somebody who knows all labels can do: a yardstick."""

GROUPS: Mapping[str, tuple[str, ...]] = {"ablations": tuple(ABLATIONS)}


def most_asked_for(names: Sequence[str]) -> str:
    """Which of these a report is about: the first that is compared with the others, else the first.

    >>> most_asked_for(["random", "full", "xssr", "coreset"])
    'xssr'
    """
    return next((name for name in names if name not in (RANDOM, RANDOM_FOREGROUND, FULL, *OF_SOURCE)), names[0])


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
    special = (PER_PATIENT, PER_SITE, RANDOM_FOREGROUND, SOURCE_NETWORK)
    known = {_key(name): name for name in (*SELECTORS, *special, *MODEL_BASED, FULL, *OF_SOURCE, *GROUPS)}
    names: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        name = known.get(_key(word))
        if name is None:
            close = difflib.get_close_matches(_key(word), known, n=1)
            hint = f" (did you mean {known[close[0]]}?)" if close else ""
            shown = ", ".join(name for name in known.values() if name not in ABLATIONS)
            raise UserError(f"--strategies {word}: no such strategy{hint}; choose among {shown}.")
        names += GROUPS.get(name, (name,))
    return tuple(dict.fromkeys(names))


def _key(name: str) -> str:
    """Names are told apart by their words."""
    return name.replace("-", "_")
