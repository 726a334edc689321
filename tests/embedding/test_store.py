"""The embedding store: whole after a kill, read while written, written once."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddedImages, EmbeddingStore, Vector
from xssr_strategy.errors import UserError


def vector(image: str, value: float = 1.0, fingerprint: str = "f") -> Vector:
    return Vector(image, fingerprint, np.full(8, value, np.float32))


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "new" / "store.sqlite")


def test_vectors_come_back_sorted_per_domain_and_encoder(store) -> None:
    store.put("target", "e1", [vector("b", 2.0), vector("a", 1.0)])
    store.put("target", "e2", [vector("a", 9.0)])
    store.put("source", "e1", [vector("s", 5.0)])
    images, vectors = store.vectors("target", "e1")
    assert images == ["a", "b"]
    np.testing.assert_array_equal(vectors[:, 0], [1.0, 2.0])
    assert store.vectors("target", "e1", ["b", "missing"])[0] == ["b"]
    assert store.vectors("target", "none")[0] == []
    assert store.fingerprints("source", "e1") == {"s": "f"}


def test_failures_give_way_to_vectors_and_the_reverse(store) -> None:
    store.set_aside("target", "a", "f1", "broken")
    assert store.failures("target") == {"a": ("f1", "broken")}
    store.put("target", "e", [vector("a", fingerprint="f2")])
    assert store.failures("target") == {}
    store.set_aside("target", "a", "f3", "broken again")
    assert store.vectors("target", "e")[0] == []
    store.forget("target", "e", ["a"])
    assert store.failures("target") == {}


def test_forgetting_images_and_encoders(store) -> None:
    for encoder in ("e1", "e2"):
        store.put("target", encoder, [vector("a"), vector("b")])
    store.forget("target", "e1", ["a"])
    assert store.vectors("target", "e1")[0] == ["b"]
    assert store.vectors("target", "e2")[0] == ["a", "b"]
    store.forget_encoder("e2")
    assert store.vectors("target", "e2")[0] == []
    assert store.vectors("target", "e1")[0] == ["b"]


def test_notes_and_version(store) -> None:
    assert store.read_note("n") is None
    store.note("n", {"a": [1, 2.5, "x"]})
    assert store.read_note("n") == {"a": [1, 2.5, "x"]}
    other = EmbeddingStore(store.path)
    seen = other.version()
    assert other.version() == seen
    store.note("n", 2)
    assert other.version() != seen
    seen = other.version()
    other.note("n", 3)
    assert other.version() != seen


def _write_until_killed(path: Path, started) -> None:
    store = EmbeddingStore(path)
    batch = 0
    while True:
        store.put("target", "e", [vector(f"{batch:06d}-{i}", batch) for i in range(16)])
        batch += 1
        started.set()


def test_a_kill_in_the_middle_of_writing_loses_no_finished_batch(tmp_path) -> None:
    path = tmp_path / "store.sqlite"
    context = multiprocessing.get_context("fork")
    reader = EmbeddingStore(path)
    seen = 0
    for _ in range(5):
        started = context.Event()
        writer = context.Process(target=_write_until_killed, args=(path, started))
        writer.start()
        assert started.wait(300)
        time.sleep(0.05)
        seen_while_writing = len(reader.fingerprints("target", "e"))  # reading never waits for the writer
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        images, vectors = EmbeddingStore(path).vectors("target", "e")
        assert len(images) >= seen_while_writing >= seen
        assert len(images) % 16 == 0  # batches are whole
        assert all(row[0] == int(image.split("-")[0]) for image, row in zip(images, vectors, strict=True))
        seen = len(images)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_cost_of_a_write_does_not_grow_with_the_store(store) -> None:
    """Counted in steps of SQLite's virtual machine, a hundred at a time."""
    steps = itertools.count()
    store._db.set_progress_handler(lambda: next(steps) < 0, 100)

    def cost(start: int) -> int:
        before = next(steps)
        for batch in range(20):
            store.put("target", "e", [vector(f"{start + batch * 16 + i:08d}") for i in range(16)])
        return next(steps) - before

    small = cost(10**6)
    for block in range(20):
        store.put("target", "e", [vector(f"{3 * 10**6 + block * 1000 + i:08d}") for i in range(1000)])
    assert small > 10
    assert cost(4 * 10**6) < 1.2 * small


def test_foreign_and_newer_files_are_told_apart(tmp_path) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match=r"broken\.sqlite cannot be opened as an embedding store"):
        EmbeddingStore(broken)
    newer = tmp_path / "newer.sqlite"
    sqlite3.connect(newer).execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match=r"another version of this software \(format 99"):
        EmbeddingStore(newer)


def test_the_mark_of_a_note_changes_whenever_it_is_written(store: EmbeddingStore) -> None:
    assert store.mark("ranking") == ""
    store.note("ranking", [1])
    first = store.mark("ranking")
    store.note("map", [2])
    assert store.mark("ranking") == first
    store.note("ranking", [1])
    assert store.mark("ranking") not in (first, "")
    assert store.read_note("ranking") == [1]


def test_the_mark_of_the_vectors_changes_with_nothing_else(store: EmbeddingStore) -> None:
    def marked(write: Callable[[], None]) -> bool:
        before = store.vectors_mark()
        write()
        return store.vectors_mark() != before

    vector = Vector("a", "f1", np.float32([1, 2]))
    assert marked(lambda: store.put(TARGET, "e", [vector]))
    assert marked(lambda: store.put(TARGET, "e", [vector]))
    assert marked(lambda: store.confirm(TARGET, "e", ["a"]))
    assert not marked(lambda: store.note("progress", [1, 2]))
    assert not marked(lambda: store.forget_failures(TARGET, ["a"]))
    assert marked(lambda: store.forget(TARGET, "e", ["a"]))
    assert marked(lambda: store.put(SOURCE, "e", [vector]))
    assert marked(lambda: store.set_aside(SOURCE, "a", "f1", "is empty"))
    assert marked(lambda: store.forget_encoder("e"))


def test_embedded_images_are_those_of_the_store_whoever_writes(tmp_path: Path) -> None:
    ours, theirs = (EmbeddingStore(tmp_path / "embeddings.sqlite") for _ in range(2))
    known, rng = EmbeddedImages(ours, TARGET), random.Random(0)
    for step in range(200):
        store, image, encoder = rng.choice([ours, theirs]), f"i{rng.randrange(8)}", rng.choice(["e", "f"])
        match rng.randrange(8):
            case 0:
                store.forget(TARGET, encoder, [image])
            case 1:
                store.set_aside(TARGET, image, f"f{step}", "is empty")
            case 2 if step % 5 == 0:
                store.forget_encoder(encoder)
            case 3:
                store.put(SOURCE, encoder, [Vector(image, f"f{step}", np.float32([step]))])
            case _:
                store.put(TARGET, encoder, [Vector(image, f"f{step}", np.float32([step]))])
        asked = rng.choice(["e", "e", "f"])
        found = known.of(asked)
        assert found == theirs.fingerprints(TARGET, asked).keys()
        store.note("progress", [step])
        assert known.of(asked) is found
    ours.close()
    theirs.close()
