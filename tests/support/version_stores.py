"""The files that the software keeps in SQLite, and files as earlier versions wrote them.

The files beside this one were written by the code of the commit in their name, databases as ``iterdump`` tells them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.pool.leases import Leases
from xssr_strategy.segmentation.score_stores import QualityStore, UncertaintyStore

HERE = Path(__file__).parents[1] / "versions"
ENCODER = "conv_mae-0123456789ab"
IMAGES = [f"i{number}" for number in range(8)]


@dataclass(frozen=True)
class Store:
    """One kind of file: how it is opened, what it is called in messages, what deleting it costs, and an old one."""

    open: Callable[[Path], Any]
    kind: str
    loss: str
    old: str


STORES = {
    "embeddings": Store(
        EmbeddingStore, "an embedding store", "the images are embedded again", "embeddings-04ae3d3.sql"
    ),
    "leases": Store(Leases, "a list of leases", "may be handed out twice", "leases-64256e4.sql"),
    "thumbnails": Store(ThumbnailStore, "a list of thumbnails", "the images are read again", "thumbnails-65b4092.sql"),
    "uncertainty": Store(
        UncertaintyStore, "a store of entropies", "the images are scored again", "uncertainty-9cfcb69.sql"
    ),
    "quality": Store(QualityStore, "a store of mask qualities", "the images are scored again", "quality-4603cf3.sql"),
}


def restore(dump: str, path: Path) -> Path:
    """The database of a dump."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript((HERE / dump).read_text(encoding="utf-8"))
    db.close()
    return path


def as_before(path: Path, table: str) -> None:
    """Take from the rows of a table what the first version of the reading did not note."""
    with sqlite3.connect(path) as db:
        for row, kept in db.execute(f"SELECT rowid, fingerprint FROM {table}").fetchall():  # noqa: S608
            plain = kept.split("|")[0].split(" ")[0]
            db.execute(f"UPDATE {table} SET fingerprint = ? WHERE rowid = ?", (plain, row))  # noqa: S608
    db.close()
