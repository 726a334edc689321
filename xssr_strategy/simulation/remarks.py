"""What a training warns of, kept with its result: nobody reads the log of a simulation's processes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from xssr_strategy.simulation.results import JobResult

MOST = 10
"""Different sentences that are kept of a training; our choice."""


@contextmanager
def remarks() -> Iterator[list[str]]:
    """Warnings of this package while it runs, each once; beyond ``MOST`` of them only how many there were."""
    kept: list[str] = []
    listener = _Listener()
    logger = logging.getLogger("xssr_strategy")
    logger.addHandler(listener)
    try:
        yield kept
    finally:
        logger.removeHandler(listener)
        kept += list(listener.said)[:MOST]
        if len(listener.said) > MOST:
            kept.append(f"And {len(listener.said) - MOST} more warnings.")


def trainings_by_remark(results: Iterable[JobResult]) -> Mapping[str, tuple[int, str]]:
    """Sentence -> how many trainings said it, and the name of a job of one of them; the most frequent first."""
    trainings = {result.training: result for result in results}
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for result in trainings.values():
        for sentence in result.remarks:
            counts[sentence] += 1
            first.setdefault(sentence, result.job.name)
    return {sentence: (count, first[sentence]) for sentence, count in counts.most_common()}


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.said[record.getMessage()] = None
