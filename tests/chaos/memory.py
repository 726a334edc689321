"""What a server holds: memory, files, threads, processes."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Held:
    """At one moment.

    Attributes:
        megabytes: resident memory of the server process.
        files, threads: of the server process.
        processes: below it.
    """

    megabytes: float
    files: int
    threads: int
    processes: int

    @classmethod
    def by(cls, pid: int) -> Held:
        """What the server with this process id holds now."""
        server = psutil.Process(pid)
        with server.oneshot():
            return cls(
                server.memory_info().rss / 2**20, server.num_fds(), server.num_threads(), len(server.children(True))
            )


def growth(values: list[float]) -> float:
    """By how much the mean of the last fifth lies above that of the fifth after the first."""
    fifth = max(1, len(values) // 5)
    early, late = values[fifth : 2 * fifth], values[-fifth:]
    return sum(late) / len(late) - sum(early) / len(early)
