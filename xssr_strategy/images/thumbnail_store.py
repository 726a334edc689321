"""Small pictures of the images of a pool, in SQLite: whoever shows the pool need not read the images again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.storage.database import open_database, transaction

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS thumbnails (
    domain TEXT NOT NULL, image TEXT NOT NULL, fingerprint TEXT NOT NULL, picture BLOB NOT NULL,
    PRIMARY KEY (domain, image)
);
"""


@dataclass(frozen=True)
class Thumbnail:
    """A small picture: the image's id, the fingerprint of the file that was read, and the WebP file's content."""

    image: str
    fingerprint: str
    picture: bytes


class ThumbnailStore:
    """One small picture per image.

    Args:
        path: the database file; made with its folder where missing.

    Raises:
        UserError: the file is no such database, or was written by another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_database(path, _SCHEMA, _VERSION, "a list of thumbnails", "the images are read again")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def put(self, domain: str, thumbnails: Iterable[Thumbnail]) -> None:
        """Keep these, in one transaction, in place of what there was of the same images."""
        rows = [(domain, one.image, one.fingerprint, one.picture) for one in thumbnails]
        self._write("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?)", rows)

    def picture(self, domain: str, image: str) -> bytes | None:
        """The WebP file's content, or None."""
        query = "SELECT picture FROM thumbnails WHERE domain = ? AND image = ?"
        row = self._db.execute(query, (domain, image)).fetchone()
        return None if row is None else bytes(row[0])

    def pictures(self, domain: str) -> dict[str, bytes]:
        """image -> content, of all."""
        return dict(self._db.execute("SELECT image, picture FROM thumbnails WHERE domain = ?", (domain,)).fetchall())

    def fingerprints(self, domain: str) -> dict[str, str]:
        """image -> fingerprint of the file that its picture shows."""
        return dict(
            self._db.execute("SELECT image, fingerprint FROM thumbnails WHERE domain = ?", (domain,)).fetchall()
        )

    def forget(self, domain: str, images: Collection[str]) -> None:
        """Remove the pictures of images that are gone."""
        self._write("DELETE FROM thumbnails WHERE domain = ? AND image = ?", [(domain, image) for image in images])

    def _write(self, statement: str, rows: Sequence[tuple[str | bytes, ...]]) -> None:
        if not rows:
            return
        with transaction(self._db):
            self._db.executemany(statement, rows)
