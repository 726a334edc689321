"""Run every benchmark, print one table, fail where a bound is missed."""

from __future__ import annotations

import sys

from rich.console import Console

from benchmarks import (
    archive,
    embedding,
    encoder_training,
    large_pool,
    propagation,
    semi_supervised,
    server,
    single_strip,
    uncertainty,
)
from benchmarks.bound import Bound, show


def main() -> int:
    console = Console()
    bounds: list[Bound] = []
    benchmarks = (
        embedding,
        uncertainty,
        server,
        large_pool,
        archive,
        encoder_training,
        semi_supervised,
        single_strip,
        propagation,
    )
    for benchmark in benchmarks:
        name = benchmark.__name__.rsplit(".", maxsplit=1)[-1]
        console.print(f"running {name} ...")
        bounds += benchmark.run()
    show(bounds, console)
    return int(not all(bound.kept for bound in bounds))


if __name__ == "__main__":
    sys.exit(main())
