"""How far the work on a pool is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """How far the work on the pool is, as ``/info/`` shows it.

    Attributes:
        state: ``waiting``, ``fetching``, ``training encoder``, ``embedding`` or ``ready``.
        embedded: images of the pool that have a vector of the present encoder.
        pool: images in the datastore.
        failed: images set aside because they cannot be read.
        skipped: images that annotators left out.
        leased: images that are out with annotators.
        encoder: id of the encoder checkpoint, or None.
        progress: steps or images done of the stage that is running, as "done/total".
        error: why the last scoring run could not end; empty if it could.
    """

    state: str
    embedded: int
    pool: int
    failed: int
    skipped: int
    leased: int
    encoder: str | None
    progress: str
    error: str
