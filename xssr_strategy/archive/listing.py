"""Which series of an archive match a query."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

from xssr_strategy.archive.client import Archive, Series

SCHEMA = "CREATE TABLE IF NOT EXISTS listings (query TEXT PRIMARY KEY, listed REAL NOT NULL, series TEXT NOT NULL);"


_NO_IMAGES = ("SEG", "SR", "PR", "KO", "DOC", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "RWV", "FID")
"""Modalities of what is made of images, labels among them (DICOM PS3.3, C.7.3.1.1.1)."""


class Listing:
    """The series of images that match, sorted by uid: nothing depends on the order in which an archive lists them.

    Processes of one machine share through the database what they were told.

    Args:
        archive: to ask.
        filters: DICOM keyword -> value.
        db: with :data:`SCHEMA`.
        clock: the time in seconds since the epoch.
    """

    def __init__(
        self,
        archive: Archive,
        filters: Mapping[str, str],
        db: sqlite3.Connection,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive, self._filters, self._db, self._clock = archive, dict(filters), db, clock
        self._name = json.dumps([archive.url, sorted(self._filters.items())])
        row = db.execute("SELECT listed, series FROM listings WHERE query = ?", (self._name,)).fetchone()
        self._listed = float("-inf") if row is None else float(row[0])
        self._series = {} if row is None else {one["uid"]: Series(**one) for one in json.loads(row[1])}

    @property
    def age(self) -> float:
        """Seconds since the archive was asked."""
        return self._clock() - self._listed

    def series(self) -> Mapping[str, Series]:
        """uid -> series, as of then."""
        return self._series

    def renew(self) -> None:
        """Ask the archive.

        Raises:
            ArchiveError: no usable answer.
        """
        listed = self._clock()
        found = [one for one in self._archive.search(self._filters) if one.modality not in _NO_IMAGES]
        self._series = {one.uid: one for one in sorted(found, key=lambda one: one.uid)}
        self._listed = listed
        content = json.dumps([asdict(one) for one in self._series.values()])
        self._db.execute("INSERT OR REPLACE INTO listings VALUES (?, ?, ?)", (self._name, listed, content))

    def postpone(self) -> None:
        """Let what is known count as asked for just now."""
        self._listed = self._clock()

    def drop(self, uid: str) -> None:
        """The archive does not have this series any more."""
        self._series = {other: one for other, one in self._series.items() if other != uid}
