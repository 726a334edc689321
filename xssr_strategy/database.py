"""How the software opens its SQLite files: one connection for several threads, and a sentence where it cannot."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xssr_strategy.errors import UserError


def data_home() -> Path:
    """The user's folder for what must not be lost and has no place beside the images."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "xssr"


def open_database(path: Path, schema: str, version: int, kind: str, loss: str) -> sqlite3.Connection:
    """Open a file, made with its folder and tables where missing; a writer does not keep readers out.

    Args:
        path: the file.
        schema: the statements that make the tables.
        version: of the schema.
        kind: what the file is, for the message.
        loss: what deleting the file costs, for the message.

    Raises:
        UserError: the file is no such database, or was written by another version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One connection may serve several threads: SQLite is built in its serialised mode.
        db = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            db.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {version}; COMMIT;")
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"{path} cannot be opened as {kind} ({error}): make its folder writable, or delete the file and {loss}."
        ) from error
    if found not in (0, version):
        raise UserError(
            f"{path} was written by another version of this software (format {found}, here {version}): "
            f"install that version, or delete the file and {loss}."
        )
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """``BEGIN IMMEDIATE`` ... ``COMMIT``; whatever is raised inside, or by a full disk, rolls it back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite may have rolled back by itself
            db.execute("ROLLBACK")
        raise
