"""Files of another kind, newer and damaged ones, for each store: one sentence names the file and the remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.version_stores import STORES, Store, restore
from xssr_strategy.errors import UserError

EACH = pytest.mark.parametrize("name", STORES)


def refusal(store: Store, path: Path) -> str:
    with pytest.raises(UserError) as refused:
        store.open(path)
    sentence = str(refused.value)
    assert str(path) in sentence
    assert store.loss in sentence
    assert "\n" not in sentence
    return sentence


@EACH
def test_a_newer_file_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    path = restore(STORES[name].old, tmp_path / f"{name}.sqlite")
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 2")
    db.close()
    assert "another version of this software (format 2, here 1): install that version" in refusal(STORES[name], path)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (2,)


@EACH
@pytest.mark.parametrize("other", [*STORES, "somebody else's"])
def test_another_database_is_told_from_ours_and_left_as_it_is(tmp_path: Path, name: str, other: str) -> None:
    path = tmp_path / f"{name}.sqlite"
    if other == name:
        STORES[name].open(restore(STORES[name].old, path)).close()
        return
    if other in STORES:
        restore(STORES[other].old, path)
    else:
        sqlite3.connect(path).execute("CREATE TABLE patients (name TEXT)")
    before = tables(path)
    assert f"is another database and not {STORES[name].kind}" in refusal(STORES[name], path)
    assert tables(path) == before


def tables(path: Path) -> list[str]:
    return [row[0] for row in sqlite3.connect(path).execute("SELECT name FROM sqlite_master ORDER BY name")]


def random_bytes(content: bytes) -> bytes:
    return np.random.default_rng(0).bytes(5000)


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def no_first_page(content: bytes) -> bytes:
    return b"\0" * 4096 + content[4096:]


def no_list_of_tables(content: bytes) -> bytes:
    return content[:100] + b"\0" * 3996 + content[4096:]


@EACH
@pytest.mark.parametrize("damage", [random_bytes, half, no_first_page, no_list_of_tables])
def test_a_damaged_file(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = restore(STORES[name].old, tmp_path / f"{name}.sqlite")
    path.write_bytes(damage(path.read_bytes()))
    assert STORES[name].kind in refusal(STORES[name], path)


@EACH
def test_an_empty_file_becomes_a_store(tmp_path: Path, name: str) -> None:
    """As SQLite itself leaves one behind when it is killed before it has written anything."""
    path = tmp_path / f"{name}.sqlite"
    path.write_bytes(b"")
    STORES[name].open(path).close()
    STORES[name].open(path).close()
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (1,)
