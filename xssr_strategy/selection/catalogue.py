"""Every strategy by its name: those of the server, those that a simulation compares, and those that ask the model.

>>> SELECTORS["coreset"](0).select([[0.0], [1.0], [5.0]], budget=2).indices.tolist()  # 0 is the seed
[1, 2]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.selection.base import Selector
from xssr_strategy.selection.clasp_pe import ClaspPE, beta_of
from xssr_strategy.selection.cold_start import ColdStart
from xssr_strategy.selection.core_set import CoreSet
from xssr_strategy.selection.entropy_diversity import EntropyDiversity
from xssr_strategy.selection.facility_location import FacilityLocation
from xssr_strategy.selection.graph_coverage import GraphCoverage
from xssr_strategy.selection.k_means import KMeans
from xssr_strategy.selection.prob_cover import ProbCover
from xssr_strategy.selection.random import Random
from xssr_strategy.selection.typi_clust import TypiClust
from xssr_strategy.selection.xssr import XSSR

DEFAULT = "xssr"
RANDOM = "random"

REVIEW = "review"
"""Hands out automatic masks to look at, the worst first; not a rule for what to annotate."""

SERVED = (DEFAULT, "cold_start", "entropy_diversity", "auto", "coreset", RANDOM, REVIEW)
"""Names of the server's strategies; the first is the one that 3D Slicer preselects."""

CLASP_PE = "clasp_pe"
"""In simulations alone."""

XSSR_NETWORK = "xssr:network"
"""XSSR on the vectors of the encoder and of the last network, in simulations alone."""

AUTO_LABELS = 10
"""Labels from which ``auto`` asks the model, our choice."""

SelectorFactory = Callable[[int], Selector]
"""From a seed to a selector. A rule that draws is judged by several seeds."""

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
"""XSSR with one choice changed."""

SELECTORS: Mapping[str, SelectorFactory] = {
    DEFAULT: lambda seed: XSSR(),
    "coreset": lambda seed: CoreSet(),
    "typiclust": lambda seed: TypiClust(seed=seed),
    "kmeans": lambda seed: KMeans(seed),
    "cold_start": lambda seed: ColdStart(seed=seed),
    "facility-location": lambda seed: FacilityLocation(),
    "graph-coverage": lambda seed: GraphCoverage(),
    "prob-cover": lambda seed: ProbCover(seed=seed),
    RANDOM: lambda seed: Random(seed),
    **ABLATIONS,
}
"""Strategies that need nothing but vectors."""


@dataclass(frozen=True)
class ModelBasedStrategy:
    """A strategy of several rounds that asks the network trained in the round before.

    Attributes:
        first: name in ``SELECTORS`` of the strategy while there are fewer than ``after`` labels.
        after: number of labels from which the network is asked.
        then: from (N, classes) entropies of every image of the pool, whose sum is its mean predictive entropy, how far
            the rounds have come, from 0 to 1, and a seed, to the selector. None: the rule of ``first``, on vectors that
            ``beside_network`` makes.
    """

    first: str
    after: int
    then: Callable[[NDArray[np.float64], float, int], Selector] | None


MODEL_BASED: Mapping[str, ModelBasedStrategy] = {
    "entropy_diversity": ModelBasedStrategy("cold_start", 1, lambda doubt, done, seed: EntropyDiversity(doubt.sum(1))),
    "auto": ModelBasedStrategy(DEFAULT, AUTO_LABELS, lambda doubt, done, seed: EntropyDiversity(doubt.sum(1))),
    CLASP_PE: ModelBasedStrategy(DEFAULT, 1, lambda doubt, done, seed: ClaspPE(doubt, beta_of(done), seed)),
    XSSR_NETWORK: ModelBasedStrategy(DEFAULT, 1, None),
}
"""Strategies that need what the model says of the images."""
