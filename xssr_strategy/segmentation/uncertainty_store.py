"""How unsure each model was of each image, in SQLite: written by the scoring process while the server reads.

It is a file of its own, so that a value does not count as a change of the embedding store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.images.versions import kept_as
from xssr_strategy.storage.database import open_database, transaction

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entropies (
    model TEXT NOT NULL, image TEXT NOT NULL, fingerprint TEXT NOT NULL, entropy REAL, written INTEGER NOT NULL,
    PRIMARY KEY (model, image)
);
CREATE TABLE IF NOT EXISTS wanted (strategy TEXT PRIMARY KEY);
"""


@dataclass(frozen=True)
class ImageEntropy:
    """One image as a model saw it.

    Attributes:
        image: its id.
        fingerprint: of the file that was read, with the version of the reading (``versions.kept_as``).
        entropy: mean predictive entropy in nats, or None if the image could not be read.
    """

    image: str
    fingerprint: str
    entropy: float | None


class UncertaintyStore:
    """Entropies of the images of one pool by model.

    Args:
        path: the database file; made with its folder where missing.

    Raises:
        UserError: the file is not such a database, or was written by another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_database(path, _SCHEMA, _VERSION, "a store of entropies", "the images are scored again")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def version(self) -> tuple[int, int]:
        """A value that changes whenever anybody writes: what was read before can be kept till then."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0]), self._db.total_changes

    def put(self, model: str, scored: Iterable[ImageEntropy]) -> None:
        """Write a batch; a value of the same model and image is replaced."""
        query = (
            "INSERT OR REPLACE INTO entropies VALUES "
            "(?, ?, ?, ?, (SELECT 1 + coalesce(max(written), 0) FROM entropies))"
        )
        rows = [(model, one.image, one.fingerprint, one.entropy) for one in scored]
        with transaction(self._db):
            self._db.executemany(query, rows)

    def fingerprints(self, model: str) -> dict[str, str]:
        """image -> fingerprint of everything that a model has seen, read or not."""
        return dict(self._db.execute("SELECT image, fingerprint FROM entropies WHERE model = ?", (model,)).fetchall())

    def seen(self, model: str) -> set[str]:
        """Every image that a model has seen as it is read now, or could not read."""
        query = "SELECT image FROM entropies WHERE model = ? AND fingerprint LIKE ?"
        return {row[0] for row in self._db.execute(query, (model, kept_as("%")))}

    def confirm(self, model: str, states: Mapping[str, str]) -> None:
        """Keep what a model said of these images, under another fingerprint each."""
        rows = [(state, model, image) for image, state in states.items()]
        with transaction(self._db):
            self._db.executemany("UPDATE entropies SET fingerprint = ? WHERE model = ? AND image = ?", rows)

    def entropies(self, model: str) -> dict[str, float]:
        """image -> entropy in nats of every image that a model could read."""
        query = "SELECT image, entropy FROM entropies WHERE model = ? AND entropy IS NOT NULL"
        return dict(self._db.execute(query, (model,)).fetchall())

    def latest(self) -> str | None:
        """The model that was asked last, or None."""
        row = self._db.execute("SELECT model FROM entropies ORDER BY written DESC LIMIT 1").fetchone()
        return None if row is None else str(row[0])

    def forget_others(self, model: str) -> None:
        """Remove what all other models said."""
        self._db.execute("DELETE FROM entropies WHERE model != ?", (model,))

    def want(self, strategy: str) -> None:
        """Remember that a strategy that needs entropies was asked for: from then on they are kept up to date."""
        if strategy not in self.wanted():
            self._db.execute("INSERT OR IGNORE INTO wanted VALUES (?)", (strategy,))

    def wanted(self) -> frozenset[str]:
        """Strategies that were asked for."""
        return frozenset(row[0] for row in self._db.execute("SELECT strategy FROM wanted"))
