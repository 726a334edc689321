"""The embedding store: one vector per image and encoder, in SQLite.

Write-ahead logging lets one process write while another reads, and a kill at any moment loses at
most the batch that was being written. The work of a write does not grow with the number of images.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.images.versions import READING
from xssr_strategy.storage.database import open_database, transaction

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    domain TEXT NOT NULL, encoder TEXT NOT NULL, image TEXT NOT NULL,
    fingerprint TEXT NOT NULL, vector BLOB NOT NULL, written REAL NOT NULL,
    PRIMARY KEY (domain, encoder, image)
);
CREATE TABLE IF NOT EXISTS failures (
    domain TEXT NOT NULL, image TEXT NOT NULL, fingerprint TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (domain, image)
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""

# The column fingerprint of a vector holds its fingerprint and, after a bar, the version of the reading under which the
# vector is right; the first version wrote no bar. So the tables are those of every version.
_STATE = "substr(fingerprint, 1, instr(fingerprint || '|', '|') - 1)"

_MARK = "mark of "  # a note beside each note, with another value each time that it is written
_REMOVED = "vectors removed or confirmed"

TARGET = "target"
SOURCE = "source"


@dataclass(frozen=True)
class Vector:
    """One embedded image: its id, what tells the file that was read (``versions.kept_as``), and the (D,) vector."""

    image: str
    fingerprint: str
    values: NDArray[np.float32]


class EmbeddingStore:
    """Vectors, failures and small notes of one studies folder.

    Args:
        path: the database file; made with its folder where missing.

    Raises:
        UserError: the file is not a store, or was written by another version.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from xssr_strategy.embedding.store import TARGET, EmbeddingStore, Vector
    >>> with TemporaryDirectory() as folder:
    ...     store = EmbeddingStore(Path(folder) / "embeddings.sqlite")
    ...     batch = [Vector("scan2", "f2", np.float32([3, 4])), Vector("scan1", "f1", np.float32([1, 2]))]
    ...     store.put(TARGET, "conv_mae-0", batch)
    ...     store.set_aside(TARGET, "scan3", "f3", "scan3.png: is empty.")
    ...     images, vectors = store.vectors(TARGET, "conv_mae-0")
    ...     failures = store.failures(TARGET)
    ...     store.close()
    >>> images
    ['scan1', 'scan2']
    >>> vectors.tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> failures
    {'scan3': ('f3', 'scan3.png: is empty.')}
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_database(path, _SCHEMA, _VERSION, "an embedding store", "the images are embedded again")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def version(self) -> tuple[int, int]:
        """A value that changes whenever anybody writes to the store: what was read before can be kept till then."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0]), self._db.total_changes

    def mark(self, name: str) -> str:
        """A value that changes whenever a note is written; an empty one for a note of an earlier version."""
        mark: str = self.read_note(_MARK + name) or ""
        return mark

    def vectors_mark(self) -> tuple[int, str]:
        """A value that changes whenever a vector is written, removed or confirmed, and with nothing else.

        The second part does not change when vectors are written: :meth:`images_after` the first part are new then.
        """
        query = "SELECT (SELECT max(rowid) FROM vectors), (SELECT content FROM notes WHERE name = ?)"
        newest, mark = self._db.execute(query, (_MARK + _REMOVED,)).fetchone()  # of one moment
        return newest or 0, mark or ""

    def images_after(self, domain: str, encoder: str, newest: int) -> set[str]:
        """Images whose vectors were written after a :meth:`vectors_mark` with this first part."""
        # The plus keeps SQLite from the index on domain and encoder, by which it would go through all images.
        query = "SELECT image FROM vectors WHERE rowid > ? AND +domain = ? AND +encoder = ?"
        return {image for (image,) in self._db.execute(query, (newest, domain, encoder))}

    def put(self, domain: str, encoder: str, vectors: Iterable[Vector]) -> None:
        """Write a batch in one transaction; a vector of the same image and encoder is replaced."""
        now = time.time()
        rows = [
            (domain, encoder, v.image, f"{v.fingerprint}|{READING}", v.values.astype("<f4", copy=False).tobytes(), now)
            for v in vectors
        ]
        with transaction(self._db):
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.executemany(
                "DELETE FROM failures WHERE domain = ? AND image = ?", [(domain, row[2]) for row in rows]
            )

    def set_aside(self, domain: str, image: str, fingerprint: str, reason: str) -> None:
        """Remember that this state of the image cannot be read, and why."""
        with transaction(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", (domain, image, fingerprint, reason)
            )
            removed = self._db.execute("DELETE FROM vectors WHERE domain = ? AND image = ?", (domain, image))
            if removed.rowcount:
                self._write_mark(_REMOVED)

    def fingerprints(self, domain: str, encoder: str) -> dict[str, str]:
        """image -> fingerprint of every vector of this encoder."""
        query = f"SELECT image, {_STATE} FROM vectors WHERE domain = ? AND encoder = ?"  # noqa: S608, a constant
        return dict(self._db.execute(query, (domain, encoder)).fetchall())

    def readings(self, domain: str, encoder: str) -> dict[str, int]:
        """image -> version of the reading under which its vector is right, where that is not the present one."""
        query = "SELECT image, fingerprint FROM vectors WHERE domain = ? AND encoder = ? AND fingerprint NOT LIKE ?"
        rows = self._db.execute(query, (domain, encoder, f"%|{READING}"))
        return {image: int(text.rpartition("|")[2]) if "|" in text else 1 for image, text in rows}

    def confirm(self, domain: str, encoder: str, images: Iterable[str]) -> None:
        """Note that the vectors of these images are right under the present reading."""
        update = f"UPDATE vectors SET fingerprint = {_STATE} || ? WHERE domain = ? AND encoder = ? AND image = ?"  # noqa: S608
        with transaction(self._db):
            rows = [(f"|{READING}", domain, encoder, image) for image in images]
            if self._db.executemany(update, rows).rowcount > 0:
                self._write_mark(_REMOVED)

    def failures(self, domain: str) -> dict[str, tuple[str, str]]:
        """image -> (fingerprint, reason) of every image set aside."""
        query = "SELECT image, fingerprint, reason FROM failures WHERE domain = ?"
        return {image: (fingerprint, reason) for image, fingerprint, reason in self._db.execute(query, (domain,))}

    def written(self, domain: str, encoder: str) -> dict[str, float]:
        """image -> time (s since the epoch) at which its vector was written."""
        query = "SELECT image, written FROM vectors WHERE domain = ? AND encoder = ?"
        return dict(self._db.execute(query, (domain, encoder)).fetchall())

    def vectors(
        self, domain: str, encoder: str, images: Collection[str] | None = None
    ) -> tuple[list[str], NDArray[np.float32]]:
        """The images, sorted, and their vectors (N, D); only those asked for that are there."""
        query = "SELECT image, vector FROM vectors WHERE domain = ? AND encoder = ? ORDER BY image"
        wanted = None if images is None else set(images)
        rows = [
            (image, np.frombuffer(blob, "<f4"))
            for image, blob in self._db.execute(query, (domain, encoder))
            if wanted is None or image in wanted
        ]
        if not rows:
            return [], np.empty((0, 0), dtype=np.float32)
        return [image for image, _ in rows], np.stack([vector for _, vector in rows])

    def note(self, name: str, content: Any) -> None:
        """Keep a small JSON value under a name."""
        with transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(content)))
            self._write_mark(name)

    def read_note(self, name: str) -> Any:
        """The value kept under the name, or None."""
        row = self._db.execute("SELECT content FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def forget(self, domain: str, encoder: str, images: Collection[str]) -> None:
        """Remove the vectors of one encoder, and the failures, of images that are gone."""
        if not images:
            return
        with transaction(self._db):
            self._db.executemany(
                "DELETE FROM vectors WHERE domain = ? AND encoder = ? AND image = ?",
                [(domain, encoder, image) for image in images],
            )
            self._write_mark(_REMOVED)
            self._db.executemany(
                "DELETE FROM failures WHERE domain = ? AND image = ?", [(domain, image) for image in images]
            )

    def forget_failures(self, domain: str, images: Collection[str]) -> None:
        """Have these images read again, although they could not be read before."""
        with transaction(self._db):
            self._db.executemany(
                "DELETE FROM failures WHERE domain = ? AND image = ?", [(domain, image) for image in images]
            )

    def forget_encoder(self, encoder: str) -> None:
        """Remove all vectors of an encoder that has been replaced."""
        with transaction(self._db):
            self._db.execute("DELETE FROM vectors WHERE encoder = ?", (encoder,))
            self._write_mark(_REMOVED)

    def _write_mark(self, name: str) -> None:
        """Within a transaction."""
        mark = json.dumps(uuid.uuid4().hex)
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (_MARK + name, mark))


class EmbeddedImages:
    """Which images of a domain have a vector, read from the store as far as it is new.

    Args:
        store: with the vectors.
        domain: of the images.

    >>> from tempfile import TemporaryDirectory
    >>> from xssr_strategy.embedding.store import TARGET, EmbeddedImages, EmbeddingStore, Vector
    >>> with TemporaryDirectory() as folder:
    ...     store = EmbeddingStore(Path(folder) / "embeddings.sqlite")
    ...     images = EmbeddedImages(store, TARGET)
    ...     before = images.of("conv_mae-0")
    ...     store.put(TARGET, "conv_mae-0", [Vector("scan1", "f1", np.float32([1, 2]))])
    ...     after = images.of("conv_mae-0")
    ...     same = images.of("conv_mae-0") is after
    ...     store.close()
    >>> sorted(before), sorted(after), same
    ([], ['scan1'], True)
    """

    def __init__(self, store: EmbeddingStore, domain: str) -> None:
        self._store, self._domain = store, domain
        self._known: tuple[str, int, str] | None = None
        self._images: frozenset[str] = frozenset()

    def of(self, encoder: str) -> frozenset[str]:
        """Images with a vector of an encoder; the same object as long as none comes or goes."""
        newest, removed = self._store.vectors_mark()
        if self._known is not None and self._known[::2] == (encoder, removed):
            if newest == self._known[1]:
                return self._images
            found = self._images | self._store.images_after(self._domain, encoder, self._known[1])
        else:
            found = frozenset(self._store.fingerprints(self._domain, encoder))
        self._known = encoder, newest, removed
        if found != self._images:
            self._images = found
        return self._images
