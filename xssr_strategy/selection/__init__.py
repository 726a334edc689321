"""Vectors in, picks out: which images of a pool deserve an annotation.

Every selector has the same interface::

    from xssr_strategy.selection import XSSR
    selection = XSSR(alpha="auto").select(target, budget=22, source=source, labeled=())
"""

from xssr_strategy.selection.advice import Advice, advise, coverage_curve
from xssr_strategy.selection.base import Selection, Selector
from xssr_strategy.selection.beside_network import beside_network
from xssr_strategy.selection.clasp_pe import ClaspPE
from xssr_strategy.selection.cold_start import Clustering, ColdStart
from xssr_strategy.selection.core_set import CoreSet
from xssr_strategy.selection.entropy_diversity import EntropyDiversity
from xssr_strategy.selection.facility_location import FacilityLocation
from xssr_strategy.selection.for_target import select_source
from xssr_strategy.selection.graph_coverage import GraphCoverage
from xssr_strategy.selection.greedy import Rule
from xssr_strategy.selection.incremental import Candidate, IncrementalSelection
from xssr_strategy.selection.k_means import KMeans
from xssr_strategy.selection.prob_cover import ProbCover
from xssr_strategy.selection.random import Random
from xssr_strategy.selection.typi_clust import TypiClust
from xssr_strategy.selection.xssr import XSSR

NextPick = IncrementalSelection  # the name that it had before; users import it

__all__ = [
    "XSSR",
    "Advice",
    "Candidate",
    "ClaspPE",
    "Clustering",
    "ColdStart",
    "CoreSet",
    "EntropyDiversity",
    "FacilityLocation",
    "GraphCoverage",
    "IncrementalSelection",
    "KMeans",
    "NextPick",
    "ProbCover",
    "Random",
    "Rule",
    "Selection",
    "Selector",
    "TypiClust",
    "advise",
    "beside_network",
    "coverage_curve",
    "select_source",
]
