"""Vectors of an earlier reading: kept where the image is read as it was, made again where it is not."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.support.odd_pictures import png
from tests.support.pools import Bench
from tests.support.version_stores import as_before
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import EncoderCheckpoint
from xssr_strategy.embedding.pool import confirm_vectors, embed_pool, failure_state, outstanding
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore, Vector
from xssr_strategy.images.listing import find_images, fingerprint
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.images.versions import READING
from xssr_strategy.pool import cold_start_plan

PRESET = replace(PRESETS["xray"], encoder_size=32, encoder_patch=8, encoder_channels=(8, 16))
CHECKPOINT = EncoderCheckpoint(build_encoder("conv_mae", PRESET).eval(), "conv_mae-1", PRESET, {})
PLAIN, OTHERWISE = ["jpeg", "plain", "strips"], ["deep", "tiles"]


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    values = np.random.default_rng(0).integers(0, 255, (40, 32), dtype=np.uint8)
    folder = tmp_path / "pool"
    folder.mkdir()
    Image.fromarray(values).save(folder / "plain.png")
    Image.fromarray(values).save(folder / "jpeg.jpg")
    tifffile.imwrite(folder / "strips.tif", values)
    tifffile.imwrite(folder / "tiles.tif", values.astype(np.uint16), tile=(16, 16), photometric="minisblack")
    (folder / "deep.png").write_bytes(png(16, 20, 16, 2, (b"\0" + bytes(range(96))) * 20))
    return find_images(folder)


def earlier_store(path: Path, images: dict[str, Path]) -> EmbeddingStore:
    """As the first version wrote it: every vector is zero."""
    store = EmbeddingStore(path)
    zeros = np.zeros(CHECKPOINT.encoder.dim, dtype=np.float32)
    store.put(TARGET, CHECKPOINT.id, [Vector(image, fingerprint(file), zeros) for image, file in images.items()])
    as_before(path, "vectors")
    return store


def test_only_what_is_read_otherwise_is_embedded_again_and_once(tmp_path: Path, images: dict[str, Path]) -> None:
    store = earlier_store(tmp_path / "store.sqlite", images)
    states = store.fingerprints(TARGET, CHECKPOINT.id)
    assert sorted(outstanding(images, TARGET, CHECKPOINT.id, PRESET, store)[0]) == sorted(images)  # no header is read
    thumbnails = ThumbnailStore(tmp_path / "thumbnails.sqlite")
    assert embed_pool(images, TARGET, CHECKPOINT, store, thumbnails=thumbnails).embedded == len(OTHERWISE)
    found = dict(zip(*store.vectors(TARGET, CHECKPOINT.id), strict=True))
    assert [image for image in images if found[image].any()] == OTHERWISE
    after = store.fingerprints(TARGET, CHECKPOINT.id)
    assert [image for image in images if after[image] != states[image]] == OTHERWISE  # the ranking is made again
    assert sorted(thumbnails.fingerprints(TARGET)) == OTHERWISE
    assert store.readings(TARGET, CHECKPOINT.id) == {}  # so that no header is looked at again
    assert embed_pool(images, TARGET, CHECKPOINT, store).embedded == 0
    fresh = EmbeddingStore(tmp_path / "fresh.sqlite")
    embed_pool({image: images[image] for image in OTHERWISE}, TARGET, CHECKPOINT, fresh)
    for image, vector in zip(*fresh.vectors(TARGET, CHECKPOINT.id), strict=True):
        np.testing.assert_allclose(found[image], vector, rtol=1e-5, atol=1e-6)
    for one in (store, fresh, thumbnails):
        one.close()


def test_a_kill_between_the_looks_and_the_vectors_loses_nothing(tmp_path: Path, images: dict[str, Path]) -> None:
    store = earlier_store(tmp_path / "store.sqlite", images)
    for _ in range(2):
        assert confirm_vectors(images, TARGET, CHECKPOINT.id, store) == OTHERWISE
        assert sorted(store.readings(TARGET, CHECKPOINT.id)) == OTHERWISE
        store.close()
        store = EmbeddingStore(tmp_path / "store.sqlite")
    assert embed_pool(images, TARGET, CHECKPOINT, store).embedded == len(OTHERWISE)
    store.close()


def test_nothing_of_a_later_version_is_kept(tmp_path: Path, images: dict[str, Path]) -> None:
    store = earlier_store(tmp_path / "store.sqlite", images)
    with sqlite3.connect(tmp_path / "store.sqlite") as db:
        db.execute("UPDATE vectors SET fingerprint = fingerprint || ?", (f" r{READING + 1}|{READING + 1}",))
    db.close()
    assert embed_pool(images, TARGET, CHECKPOINT, store).embedded == len(images)
    store.close()


def test_what_is_away_at_the_first_start_is_looked_at_when_it_is_back(tmp_path: Path, images: dict[str, Path]) -> None:
    store = earlier_store(tmp_path / "store.sqlite", images)
    there = {image: path for image, path in images.items() if image not in ("plain", "tiles")}
    assert embed_pool(there, TARGET, CHECKPOINT, store).embedded == 1
    assert embed_pool(images, TARGET, CHECKPOINT, store).embedded == 1
    assert store.readings(TARGET, CHECKPOINT.id) == {}
    store.close()


def test_what_an_earlier_reading_refused_is_tried_again_once(tmp_path: Path, images: dict[str, Path]) -> None:
    store = EmbeddingStore(tmp_path / "store.sqlite")
    store.set_aside(TARGET, "tiles", f"{PRESET.name} {fingerprint(images['tiles'])}", "is damaged")
    assert embed_pool(images, TARGET, CHECKPOINT, store).embedded == len(images)
    assert store.failures(TARGET) == {}
    store.set_aside(TARGET, "tiles", failure_state(PRESET, fingerprint(images["tiles"])), "is damaged")
    assert embed_pool(images, TARGET, CHECKPOINT, store).embedded == 0
    store.close()


def test_a_file_that_was_replaced_is_embedded_without_a_look(tmp_path: Path, images: dict[str, Path]) -> None:
    store = earlier_store(tmp_path / "store.sqlite", images)
    Image.fromarray(np.eye(40, dtype=np.uint8)).save(images["plain"])
    assert confirm_vectors(images, TARGET, CHECKPOINT.id, store) == OTHERWISE
    assert "plain" in outstanding(images, TARGET, CHECKPOINT.id, PRESET, store)[0]
    store.close()


@pytest.mark.slow
def test_a_worklist_of_an_earlier_version(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pool that did not change keeps its worklist and clusters; an image that did renews them, and is told of."""
    bench = Bench(tmp_path)
    ranking = bench.update()
    cold_start_plan.update(ranking.encoder, find_images(bench.studies), bench.settings, bench.store)
    as_before(bench.workspace.store, "vectors")
    ranking = bench.update()  # of vectors without a version
    written = bench.store.written(TARGET, ranking.encoder)
    plan = cold_start_plan.read_plan(bench.store)
    caplog.clear()
    assert bench.update() == ranking
    assert bench.stages == []
    assert bench.store.written(TARGET, ranking.encoder) == written
    assert not caplog.records
    assert cold_start_plan.read_plan(bench.store) == plan is not None

    (bench.studies / "i03.png").write_bytes(png(16, 20, 16, 2, (b"\0" + bytes(range(96))) * 20))
    bench.update()
    as_before(bench.workspace.store, "vectors")
    bench.update()
    as_before(bench.workspace.store, "vectors")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        renewed = bench.update()
    assert renewed.key != ranking.key
    assert bench.store.fingerprints(TARGET, renewed.encoder)["i03"].endswith(f" r{READING}")
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("1 images were read otherwise by an earlier version and are embedded again. The encoder may")
    assert cold_start_plan.read_plan(bench.store) is None
    assert bench.store.readings(SOURCE, renewed.encoder) == {}
