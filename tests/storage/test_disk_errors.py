from __future__ import annotations

import errno
import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from xssr_strategy.embedding.store import TARGET, EmbeddingStore, Vector
from xssr_strategy.errors import UserError
from xssr_strategy.storage.database import transaction
from xssr_strategy.storage.disk_errors import describe_disk_error

_PAGE = 4096


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "x", "/data/a.png"), "/data/a.png: the disk is full; make room"),
        (OSError(errno.EDQUOT, "x"), "the server: the disk is full; make room"),
        (OSError(errno.EROFS, "x", "/data/a.png"), "/data/a.png: cannot be written; make the disk"),
        (OSError(errno.EIO, "x", "/data/a.png"), "/data/a.png: the disk or a file on it is damaged"),
        (sqlite3.OperationalError("database or disk is full"), "the workspace: the disk is full; make room"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "the workspace: cannot be written"),
        (
            sqlite3.DatabaseError("database disk image is malformed"),
            "the workspace: the disk or a file",
        ),
    ],
)
def test_a_disk_that_does_not_go_along_is_a_sentence(error: Exception, sentence: str) -> None:
    told = describe_disk_error(error)
    assert told is not None
    assert told.startswith(sentence)


def test_other_errors_are_none_of_the_disk() -> None:
    assert describe_disk_error(FileNotFoundError(errno.ENOENT, "x")) is None
    assert describe_disk_error(ValueError("x")) is None


def filled(path: Path, images: int = 400) -> EmbeddingStore:
    store = EmbeddingStore(path)
    vectors = [Vector(f"i{number:03}", "f", np.full(256, number, np.float32)) for number in range(images)]
    store.put(TARGET, "e", vectors)
    return store


def test_a_store_with_a_page_of_zeros_is_named_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.sqlite"
    filled(path).close()
    whole = path.read_bytes()
    noticed = 0
    pages = range(1, len(whole) // _PAGE, 7)
    for page in pages:
        path.write_bytes(whole[: page * _PAGE] + bytes(_PAGE) + whole[(page + 1) * _PAGE :])
        try:
            store = EmbeddingStore(path)
        except UserError as error:
            assert "embeddings.sqlite" in str(error)  # noqa: PT017 - not every page is in use
            assert "delete the file and the images are embedded again" in str(error)  # noqa: PT017
            noticed += 1
        else:
            assert len(store.vectors(TARGET, "e")[0]) == 400
            store.close()
    assert noticed > 0.9 * len(pages)


def test_a_full_disk_leaves_no_transaction_open_and_what_was_there(tmp_path: Path) -> None:
    store = filled(tmp_path / "embeddings.sqlite", 10)
    store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0]}")
    many = [Vector(f"j{number}", "f", np.zeros(256, np.float32)) for number in range(500)]
    with pytest.raises(sqlite3.OperationalError, match="is full"):
        store.put(TARGET, "e", many)
    assert not store._db.in_transaction
    assert len(store.vectors(TARGET, "e")[0]) == 10
    store._db.execute("PRAGMA max_page_count = 100000")
    store.put(TARGET, "e", many)
    assert len(store.vectors(TARGET, "e")[0]) == 510


def test_what_is_raised_inside_a_transaction_rolls_it_back() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE t (x)")
    with suppress(KeyError), transaction(db):
        db.execute("INSERT INTO t VALUES (1)")
        raise KeyError
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
