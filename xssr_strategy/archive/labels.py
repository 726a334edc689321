"""Which series of an archive have a segmentation."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
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
        image: uid of the series that it segments.
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
        self._writing = threading.Lock()
        self._nameless: set[str] = set()  # told of once; asked again after a restart
        self._newest: dict[str, Segmentation] = {}
        self._images: frozenset[str] = frozenset()
        self._write([])

    def images(self) -> frozenset[str]:
        """uids of the series that have a segmentation; the same object as long as none comes or goes."""
        return self._images

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
        self._write([], gone)

    def learn(self, listed: Iterable[Series], archive: Archive | None = None, patience: float = math.inf) -> None:
        """Ask what these SEG series segment, unless it is known.

        Args:
            listed: by the archive.
            archive: to ask in its place.
            patience: seconds after which the rest is left for another time.

        Raises:
            ArchiveDown: the archive does not answer.
        """
        known = {one.uid for one in self._write([])} | self._nameless  # by other processes, too
        now, begin = self._clock(), time.monotonic()
        for series in listed:
            if series.uid in known or time.monotonic() - begin > patience:
                continue
            try:
                instances = (archive or self._archive).metadata(series)
            except ArchiveDown:
                raise
            except ArchiveError as error:
                logger.warning("A segmentation is left out: %s", error)
                continue
            image = segmented_series(instances[0]) if instances else ""
            if image:
                made = "".join(str(first_value(instances[0], tag) or "") for tag in ("00080023", "00080033"))
                self._write([Segmentation(series.uid, series.study, image, made, now)])
            elif instances:
                self._nameless.add(series.uid)
                logger.warning("Segmentation %s does not name the series that it segments.", series.uid)

    def submitted(self, image: str, uid: str, study: str, made: str) -> None:
        """A segmentation that the archive has just acknowledged."""
        self._write([Segmentation(uid, study, image, made, self._clock())])

    def submitted_empty(self, image: str, made: str) -> None:
        """A label on which nothing is drawn."""
        self.submitted(image, f"empty {image}", "", made)

    def forget_empty(self, image: str) -> bool:
        """Take back a label on which nothing is drawn; False if the series has none."""
        empty = [one for one in self._known() if one.image == image and not one.study]
        self._write([], empty)
        return bool(empty)

    def _known(self) -> list[Segmentation]:
        rows = self._db.execute("SELECT uid, study, image, made, recorded FROM segmentations")
        return [Segmentation(*row) for row in rows.fetchall()]

    def _write(self, new: Collection[Segmentation], gone: Collection[Segmentation] = ()) -> list[Segmentation]:
        """Change the catalogue; what it tells then."""
        rows = [(one.uid, one.study, one.image, one.made, one.recorded) for one in new]
        with self._writing:  # or an older reading could replace a newer one
            self._db.executemany("INSERT OR REPLACE INTO segmentations VALUES (?, ?, ?, ?, ?)", rows)
            self._db.executemany("DELETE FROM segmentations WHERE uid = ?", [(one.uid,) for one in gone])
            # Clocks of other machines may be wrong: what became known later counts as newer.
            by_age = sorted(self._known(), key=lambda one: (one.recorded, one.made, one.uid))
            self._newest = {one.image: one for one in by_age}
            if self._newest.keys() != self._images:
                self._images = frozenset(self._newest)
            return by_age


def segmented_series(instance: dict[str, Any]) -> str:
    """uid of the series that a SEG instance names in its ReferencedSeriesSequence, or an empty string."""
    return str(first_value(first_value(instance, "00081115") or {}, "0020000E") or "")
