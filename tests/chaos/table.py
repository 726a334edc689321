"""What a run of faults comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One kind of fault.

    Attributes:
        fault: what was done to the server.
        injected: how often.
        lost: what was missing, damaged or wrong afterwards, a sentence each.
        figures: what was measured.
    """

    fault: str
    injected: int
    lost: tuple[str, ...] = ()
    figures: str = ""


def table(rows: Sequence[Row]) -> str:
    """Markdown; what was lost stands below."""
    lines = ["| fault | injected | survived | lost | figures |", "|---|---:|---:|---:|---|"]
    for row in rows:
        survived = row.injected - min(row.injected, len(row.lost))
        lines.append(f"| {row.fault} | {row.injected} | {survived} | {len(row.lost)} | {row.figures} |")
    total, lost = sum(row.injected for row in rows), sum(len(row.lost) for row in rows)
    lines.append(f"| **all** | {total} | {total - min(total, lost)} | {lost} | |")
    return "\n".join([*lines, *(f"LOST: {row.fault}: {one}" for row in rows for one in row.lost)])
