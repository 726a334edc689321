"""A ranking of ten images, made by hand."""

from __future__ import annotations

from typing import Any

from xssr_strategy.pool.ranking import RankedImage, Ranking

POOL = [f"i{number}" for number in range(10)]


def ranking(picks: list[str], labelled: list[str], budget: int = 3, **others: Any) -> Ranking:
    values: dict[str, Any] = {
        "key": "key",
        "encoder": "encoder",
        "picks": tuple(
            RankedImage(image, len(labelled) + place, 0.5, 0.25, 0.75, 1.0) for place, image in enumerate(picks, 1)
        ),
        "labelled": frozenset(labelled),
        "pool": len(POOL),
        "budget": budget,
        "novelty": True,
        "alpha": 0.1,
        "calibration": (),
        "coverage": tuple(1.0 / place for place in range(1, len(picks) + 1)),
        "worthwhile": None,
        "advice": "",
    }
    return Ranking(**{**values, **others})
