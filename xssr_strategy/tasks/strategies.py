"""The server's strategies, under the names of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monailabel.interfaces.tasks.strategy import Strategy

from xssr_strategy.selection.catalogue import SELECTORS, SERVED
from xssr_strategy.tasks.cold_start import ColdStartStrategy
from xssr_strategy.tasks.entropy_strategy import AutoStrategy, EntropyDiversityStrategy
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.review_strategy import ReviewStrategy
from xssr_strategy.tasks.strategy import RandomStrategy, SelectorStrategy, XSSRStrategy

_FACTORIES: Mapping[str, Callable[[Project], Strategy]] = {
    "xssr": XSSRStrategy,
    "cold_start": ColdStartStrategy,
    "entropy_diversity": EntropyDiversityStrategy,
    "auto": AutoStrategy,
    "coreset": lambda project: SelectorStrategy("CoreSet: k-centre greedy", project, SELECTORS["coreset"](0)),
    "random": RandomStrategy,
    "review": ReviewStrategy,
}


def served_strategies(project: Project) -> dict[str, Strategy]:
    """Every strategy of ``selection.catalogue.SERVED``, the first of which 3D Slicer preselects."""
    return {name: _FACTORIES[name](project) for name in SERVED}
