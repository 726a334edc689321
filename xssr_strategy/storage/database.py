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
        found, expected = _version(db), _columns_of(schema)
        if found == 0 and _columns(db).items() <= expected.items():  # new, or being made by another process
            db.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {version}; COMMIT;")
            found = _version(db)
        foreign = found in (0, version) and _columns(db) != expected
        if (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(" ".join(problem.split()))
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"{path} cannot be opened as {kind} ({error}): make its folder writable, or delete the file and {loss}."
        ) from error
    if foreign:
        db.close()
        raise UserError(f"{path} is another database and not {kind}: put the right file back, or delete it and {loss}.")
    if found != version:
        db.close()
        raise UserError(
            f"{path} was written by another version of this software (format {found}, here {version}): "
            f"install that version, or delete the file and {loss}."
        )
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _columns(db: sqlite3.Connection) -> dict[str, list[str]]:
    """table -> names of its columns."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [row[0] for row in db.execute(query)]
    info = "SELECT name FROM pragma_table_info(?)"
    return {table: [row[0] for row in db.execute(info, (table,))] for table in tables}


def _columns_of(schema: str) -> dict[str, list[str]]:
    db = sqlite3.connect(":memory:")
    db.executescript(schema)
    columns = _columns(db)
    db.close()
    return columns


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
