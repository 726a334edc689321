"""One row of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """What was measured, and whether it keeps its bound."""

    what: str
    measured: str
    must: str
    kept: bool
