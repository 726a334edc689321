"""One row of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Bound:
    """What was measured, and whether it keeps its bound."""

    what: str
    measured: str
    must: str
    kept: bool


def show(bounds: Sequence[Bound], console: Console) -> None:
    """Print the table."""
    table = Table(title="Bounds", title_justify="left")
    for column in ("what", "measured", "must be", ""):
        table.add_column(column, overflow="fold")
    for bound in bounds:
        table.add_row(bound.what, bound.measured, bound.must, "[green]kept[/]" if bound.kept else "[red]missed[/]")
    console.print(table)
