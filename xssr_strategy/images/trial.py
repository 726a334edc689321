"""``python -m xssr_strategy.images.trial FILE``: read an image that may end the process which reads it."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path

from xssr_strategy.images.reading import UnreadableImage, read_image

LIMIT = 120
"""Seconds that reading one image may take; our choice: the largest volumes take some twenty."""


def main(path: Path) -> None:
    """Read it; a signal ends this process after ``LIMIT``, whoever waits for it or not."""
    with suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text("1000")  # this process goes before any other if memory runs out
    signal.alarm(LIMIT)
    with suppress(UnreadableImage):
        read_image(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
