"""The training methods by name: of ``--conf training``, of a train request's ``method``, of ``xssr simulate``."""

from __future__ import annotations

from collections.abc import Mapping

from xssr_strategy.segmentation.methods.base import TrainingMethod
from xssr_strategy.segmentation.methods.supervised import Supervised

SUPERVISED = "supervised"
"""The method of whoever names none."""

METHODS: Mapping[str, type[TrainingMethod]] = {SUPERVISED: Supervised}


def parse_methods(text: str) -> tuple[str, ...]:
    """The names of a comma list, each once.

    Raises:
        ValueError: an unknown name; what is allowed.

    >>> parse_methods("supervised, supervised")
    ('supervised',)
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(name in METHODS for name in names):
        raise ValueError(f"training methods separated by commas, of {', '.join(METHODS)}")
    return names


def method_names() -> tuple[str, ...]:
    """Names that a user may choose from.

    >>> "supervised" in method_names()
    True
    """
    return tuple(METHODS)
