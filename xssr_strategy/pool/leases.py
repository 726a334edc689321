"""Who annotates which image, and which images are left out, in SQLite: it survives a restart and serves many at once.

It is a file of its own, so that handing out an image does not count as a change of the embedding store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.storage.database import open_database

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (
    image TEXT PRIMARY KEY, client TEXT NOT NULL, taken REAL NOT NULL, ends REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS skips (image TEXT PRIMARY KEY, client TEXT NOT NULL, reason TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Lease:
    """An image that an annotator has.

    Attributes:
        image: its id.
        client: who has it; empty if the viewer did not say.
        taken, ends: times (s since the epoch).
    """

    image: str
    client: str
    taken: float
    ends: float


class Leases:
    """Images that are out with annotators, and images that were skipped.

    Args:
        path: the database file; made with its folder where missing.
        minutes: how long a lease lasts.
        clock: the time in seconds since the epoch.

    Raises:
        UserError: the file is not such a database, or was written by another version.
    """

    def __init__(self, path: Path, minutes: float = 60, clock: Callable[[], float] = time.time) -> None:
        self.path, self._seconds, self._clock = path, 60.0 * minutes, clock
        self._db = open_database(
            path,
            _SCHEMA,
            _VERSION,
            "a list of leases",
            "images now with annotators may be handed out twice, skipped ones come back",
        )

        self._skipped: Mapping[str, str] = {}

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def take(self, image: str, client: str) -> float | None:
        """Lease an image that nobody has to a client, from now on.

        Returns:
            When the lease ends (s since the epoch). None if somebody has the image, were it a client of the same name
            (viewers that give none all have one), or if it was skipped: a single statement decides, so two never get
            one image.
        """
        return self._lease(
            "INSERT INTO leases SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM skips WHERE image = ?1) "
            "ON CONFLICT (image) DO UPDATE SET client = ?2, taken = ?3, ends = ?4 WHERE ends <= ?3 RETURNING ends",
            image,
            client,
        )

    def renew(self, image: str, client: str) -> float | None:
        """Lease an image to the client that has it already, from now on.

        Returns:
            When the lease ends (s since the epoch). None if the client does not have the image any more.
        """
        return self._lease(
            "UPDATE leases SET taken = ?3, ends = ?4 WHERE image = ?1 AND client = ?2 RETURNING ends", image, client
        )

    def _lease(self, statement: str, image: str, client: str) -> float | None:
        now = self._clock()
        rows = self._db.execute(statement, (image, client, now, now + self._seconds)).fetchall()
        return rows[0][0] if rows else None  # rowcount would count what other threads did on this connection

    def out(self) -> dict[str, Lease]:
        """image -> its lease, of all that have not ended; those taken first come first."""
        query = "SELECT image, client, taken, ends FROM leases WHERE ends > ? ORDER BY taken, image"
        return {row[0]: Lease(*row) for row in self._db.execute(query, (self._clock(),))}

    def end(self, images: Collection[str]) -> None:
        """Give these images back before their leases end."""
        self._delete("leases", images)

    def skip(self, image: str, client: str, reason: str) -> None:
        """Leave an image out until :meth:`restore`."""
        self._db.execute("INSERT OR REPLACE INTO skips VALUES (?, ?, ?)", (image, client, reason))
        self.end([image])

    def skipped(self) -> Mapping[str, str]:
        """image -> reason of every image left out; the same object as long as none comes or goes."""
        found = dict(self._db.execute("SELECT image, reason FROM skips ORDER BY image").fetchall())
        if found != self._skipped:
            self._skipped = found
        return self._skipped

    def restore(self, images: Collection[str]) -> None:
        """Take these images in again."""
        self._delete("skips", images)

    def _delete(self, table: str, images: Collection[str]) -> None:
        self._db.executemany(f"DELETE FROM {table} WHERE image = ?", [(image,) for image in images])  # noqa: S608
