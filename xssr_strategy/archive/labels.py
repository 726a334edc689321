"""Which series of an archive have a segmentation."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from xssr_strategy.archive.client import Archive, ArchiveDown, ArchiveError, Series, first_value

logger = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS segmentations (
    uid TEXT PRIMARY KEY, study TEXT NOT NULL, image TEXT NOT NULL, made TEXT NOT NULL, recorded REAL NOT NULL
);
"""
_GRACE = 600.0  # seconds that an archive may take to list what it has acknowledged (our choice)


@dataclass(frozen=True)
class Segmentation:
    """A DICOM SEG series.

    Attributes:
        uid, study: SeriesInstanceUID and StudyInstanceUID. An empty label, which no archive can hold, has no study.
        image: uid of the series that it segments; empty if it names none.
        made: ContentDate and ContentTime, as text that sorts by time.
        recorded: when it became known here (s since the epoch).
    """

    uid: str
    study: str
    image: str
    made: str
    recorded: float


class LabelledSeries:
    """What each SEG series of an archive segments; that never changes, so each is asked for once.

    Args:
        archive: to ask.
        db: with :data:`SCHEMA`.
        clock: the time in seconds since the epoch.
    """

    def __init__(self, archive: Archive, db: sqlite3.Connection, clock: Callable[[], float] = time.time) -> None:
        self._archive, self._db, self._clock = archive, db, clock
        self._newest: dict[str, Segmentation] = {}
        self._read()

    def images(self) -> Collection[str]:
        """uids of the series that have a segmentation."""
        return self._newest.keys()

    def segmentation(self, image: str) -> Segmentation | None:
        """The newest segmentation of a series."""
        return self._newest.get(image)

    def renew(self) -> None:
        """Learn of all segmentations in the archive, and forget those that are gone.

        Raises:
            ArchiveError: no usable answer.
        """
        now = self._clock()
        listed = self._archive.search({"Modality": "SEG"})
        self.learn(listed)
        present = {one.uid for one in listed}
        gone = [one for one in self._known() if one.uid not in present and one.recorded < now - _GRACE and one.study]
        self._db.executemany("DELETE FROM segmentations WHERE uid = ?", [(one.uid,) for one in gone])
        self._read()

    def learn(self, listed: Iterable[Series]) -> None:
        """Ask what these SEG series segment, unless it is known.

        Raises:
            ArchiveDown: the archive does not answer.
        """
        known = {one.uid for one in self._known()}
        for series in listed:
            if series.uid not in known:
                try:
                    instances = self._archive.metadata(series)
                except ArchiveDown:
                    raise
                except ArchiveError as error:
                    logger.warning("A segmentation is left out: %s", error)
                    continue
                first = instances[0] if instances else {}
                if not segmented_series(first):
                    logger.warning("Segmentation %s does not name the series that it segments.", series.uid)
                made = f"{first_value(first, '00080023') or ''}{first_value(first, '00080033') or ''}"
                self._record(Segmentation(series.uid, series.study, segmented_series(first), made, self._clock()))
        self._read()

    def submitted(self, image: str, uid: str, study: str, made: str) -> None:
        """A segmentation that the archive has just acknowledged."""
        self._record(Segmentation(uid, study, image, made, self._clock()))
        self._read()

    def submitted_empty(self, image: str, made: str) -> None:
        """A label on which nothing is drawn."""
        self.submitted(image, f"empty {image}", "", made)

    def _record(self, one: Segmentation) -> None:
        row = (one.uid, one.study, one.image, one.made, one.recorded)
        self._db.execute("INSERT OR REPLACE INTO segmentations VALUES (?, ?, ?, ?, ?)", row)

    def _known(self) -> list[Segmentation]:
        rows = self._db.execute("SELECT uid, study, image, made, recorded FROM segmentations")
        return [Segmentation(*row) for row in rows.fetchall()]

    def _read(self) -> None:
        by_age = sorted(self._known(), key=lambda one: (one.made, one.recorded, one.uid))
        self._newest = {one.image: one for one in by_age if one.image}


def segmented_series(instance: dict[str, Any]) -> str:
    """uid of the series that a SEG instance names in its ReferencedSeriesSequence, or an empty string."""
    return str(first_value(first_value(instance, "00081115") or {}, "0020000E") or "")
