"""The training methods by name: of ``--conf training``, of a train request's ``method``, of ``xssr simulate``."""

from __future__ import annotations

from collections.abc import Mapping

from xssr_strategy.segmentation.methods.base import TrainingMethod
from xssr_strategy.segmentation.methods.supervised import Supervised

SUPERVISED = "supervised"
"""The method of whoever names none."""

METHODS: Mapping[str, type[TrainingMethod]] = {SUPERVISED: Supervised}


def method_names() -> tuple[str, ...]:
    """Names that a user may choose from.

    >>> "supervised" in method_names()
    True
    """
    return tuple(METHODS)
