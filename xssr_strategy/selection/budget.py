"""How many images to annotate, as people say it: a count or a percentage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True)
class Budget:
    """How many images to annotate: a count, or a percentage of the pool.

    A percentage p of N images is max(1, floor(p * N / 100)), as in the paper (22 of 440 at 5 %).
    """

    text: str
    count: int | None
    percent: Decimal | None

    def of(self, pool: int) -> int:
        """Number of picks for a pool of this size; never more than the pool."""
        wanted = self.count if self.percent is None else max(1, math.floor(self.percent * pool / 100))
        assert wanted is not None
        return min(wanted, pool)

    def __str__(self) -> str:
        return self.text


def parse_budget(text: str) -> Budget:
    """The budget that a text such as ``22`` or ``5%`` names.

    Raises:
        ValueError: neither; what is allowed.
    """
    try:
        if text.endswith("%"):
            percent = Decimal(text[:-1])
            if 0 < percent <= 100:
                return Budget(text, None, percent)
        elif int(text) >= 1:
            return Budget(text, int(text), None)
    except (ValueError, InvalidOperation):
        pass
    raise ValueError("a number of images such as 22, or a percentage of the pool such as 5%")
