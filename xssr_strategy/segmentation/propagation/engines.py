"""What may follow slices: registration, and SAM 2 where its weights are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch

from xssr_strategy.segmentation.propagation.engine import PropagationEngine
from xssr_strategy.segmentation.propagation.registration import Registration

SAM2, REGISTRATION = "sam2", Registration.name

SLOW = (10, 30)
"""Seconds that SAM 2 takes for a slice on a processor, at the side of its training (PyTorch, two cores)."""


def engines(sam_weights: Path | None, side: int = 0) -> Mapping[str, Callable[[], PropagationEngine]]:
    """Name -> what makes the engine, once; the first is the default.

    Args:
        sam_weights: folder of SAM 2's weights, if there is one.
        side: of what SAM 2 sees, in pixels; 0 for that of its training.
    """
    found: dict[str, Callable[[], PropagationEngine]] = {}
    if sam_weights is not None:
        weights = sam_weights

        @cache
        def tracker() -> PropagationEngine:
            from xssr_strategy.segmentation.propagation.sam2 import Sam2Tracker  # whose library takes seconds

            return Sam2Tracker(weights, side)

        found[SAM2] = tracker
    return {**found, REGISTRATION: Registration}


def told_before(engine: str, side: int = 0) -> str:
    """What people should know before they wait; empty if there is nothing.

    >>> told_before("registration")
    ''
    """
    if engine != SAM2 or torch.cuda.is_available():
        return ""
    smaller = "" if side else "; a smaller side, such as 512, takes a third of it"
    return f"SAM 2 takes {SLOW[0]} to {SLOW[1]} s a slice without a GPU at its full resolution{smaller}"
