"""The training methods by name: of ``--conf training``, of a train request's ``method``, of ``xssr simulate``."""

from __future__ import annotations

from collections.abc import Mapping

from xssr_strategy.segmentation.methods.base import TrainingMethod
from xssr_strategy.segmentation.methods.fixmatch import FixMatch
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.methods.ust_run import (
    UstRun,
    UstRunWithoutAmplitudes,
    UstRunWithoutGuidance,
    UstRunWithoutQueue,
)

SUPERVISED = "supervised"
"""The method of whoever names none."""

ABLATIONS: Mapping[str, type[TrainingMethod]] = {
    "ust_run:no-amplitudes": UstRunWithoutAmplitudes,
    "ust_run:no-guidance": UstRunWithoutGuidance,
    "ust_run:no-queue": UstRunWithoutQueue,
}
"""UST-RUN without one of its parts, for comparisons."""

METHODS: Mapping[str, type[TrainingMethod]] = {
    SUPERVISED: Supervised,
    "fixmatch": FixMatch,
    "ust_run": UstRun,
    **ABLATIONS,
}


def parse_methods(text: str) -> tuple[str, ...]:
    """The names of a comma list, each once.

    Raises:
        ValueError: an unknown name; what is allowed.

    >>> parse_methods("supervised, supervised")
    ('supervised',)
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(name in METHODS for name in names):
        raise ValueError(f"training methods separated by commas, of {', '.join(method_names())}")
    return names


def method_names() -> tuple[str, ...]:
    """Names that a user may choose from.

    >>> method_names()
    ('supervised', 'fixmatch', 'ust_run')
    """
    return tuple(name for name in METHODS if name not in ABLATIONS)
