"""Embedding a pool: each image once, failures named, memory bounded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import EncoderCheckpoint
from xssr_strategy.embedding.inputs import training_inputs
from xssr_strategy.embedding.pool import embed_pool
from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preprocessing import encoder_input
from xssr_strategy.images.preset import PRESETS

PRESET = replace(PRESETS["xray"], encoder_size=32, encoder_patch=8, encoder_channels=(8, 16))


def write(path: Path, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 255, (40, 32), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    for index in range(20):
        write(tmp_path / f"i{index:02d}.png", index)
    return tmp_path


@pytest.fixture
def checkpoint() -> EncoderCheckpoint:
    return EncoderCheckpoint(build_encoder("conv_mae", PRESET).eval(), "conv_mae-1", PRESET, {})


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / ".xssr" / "store.sqlite")


def test_vectors_are_those_of_the_bare_loop_and_a_second_run_only_looks(folder, checkpoint, store) -> None:
    images = find_images(folder)
    steps: list[tuple[int, int]] = []
    report = embed_pool(images, TARGET, checkpoint, store, lambda *step: steps.append(step))
    assert (report.embedded, report.unchanged, dict(report.failed)) == (20, 0, {})
    assert steps[0] == (0, 20)
    assert steps[-1] == (20, 20)
    names, vectors = store.vectors(TARGET, checkpoint.id)
    with torch.inference_mode():
        expected = torch.stack([checkpoint.encoder.encode(encoder_input(images[n], PRESET)[None])[0] for n in names])
    np.testing.assert_allclose(vectors, expected.numpy(), rtol=1e-4, atol=1e-5)

    written = store.written(TARGET, checkpoint.id)
    report = embed_pool(images, TARGET, checkpoint, store)
    assert (report.embedded, report.unchanged) == (0, 20)
    assert store.written(TARGET, checkpoint.id) == written


def test_a_changed_image_and_a_new_checkpoint_get_new_vectors(folder, checkpoint, store) -> None:
    images = find_images(folder)
    embed_pool(images, TARGET, checkpoint, store)
    before = dict(zip(*store.vectors(TARGET, checkpoint.id), strict=True))
    write(images["i03"], 99)
    os.utime(images["i03"], ns=(1, 1))
    assert embed_pool(images, TARGET, checkpoint, store).embedded == 1
    after = dict(zip(*store.vectors(TARGET, checkpoint.id), strict=True))
    assert [name for name in after if not np.array_equal(before[name], after[name])] == ["i03"]
    other = replace(checkpoint, id="conv_mae-2")
    assert embed_pool(images, TARGET, other, store).embedded == 20


def test_a_broken_image_is_set_aside_and_tried_again_when_it_changes(folder, checkpoint, store) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    images = find_images(folder)
    report = embed_pool(images, TARGET, checkpoint, store)
    assert report.embedded == 20
    assert list(report.failed) == ["broken"]
    assert "broken.png" in report.failed["broken"]
    assert embed_pool(images, TARGET, checkpoint, store).embedded == 0  # not tried again in vain
    write(folder / "broken.png", 5)
    assert embed_pool(images, TARGET, checkpoint, store).embedded == 1
    assert store.failures(TARGET) == {}


def test_an_image_deleted_since_it_was_listed_does_no_harm(folder, checkpoint, store) -> None:
    images = find_images(folder)
    images["i00"].unlink()
    assert embed_pool(images, TARGET, checkpoint, store).embedded == 19


def test_training_inputs_go_on_after_a_kill_and_leave_out_what_is_broken(folder, tmp_path, monkeypatch) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    images, file = find_images(folder), tmp_path / ".xssr" / "inputs.npy"
    encoder = build_encoder("conv_mae", PRESET)
    inputs, ids = training_inputs(images, encoder, PRESET, file, lambda *_: None)
    assert ids == [image for image in images if image != "broken"]
    whole = np.array(inputs)
    assert whole.shape == (20, 1, 32, 32)
    assert not np.isnan(whole).any()

    rows = np.lib.format.open_memmap(file, mode="r+")
    rows[5, 0, 3:] = np.nan  # as a kill in the middle of the row leaves it
    read = []

    def remember(path, preset):
        read.append(path.stem)
        return encoder_input(path, preset)

    monkeypatch.setattr(encoder, "read", remember)
    again, _ = training_inputs(images, encoder, PRESET, file, lambda *_: None)
    assert sorted(read) == ["broken", sorted(images)[5]]
    np.testing.assert_array_equal(again, whole)


def test_standardise_uses_the_source_and_scales_rows_to_length_one() -> None:
    rng = np.random.default_rng(0)
    source = (rng.normal(size=(30, 6)) * [1, 10, 1, 1, 1, 0] + 50).astype(np.float32)
    target = (rng.normal(size=(40, 6)) + 52).astype(np.float32)
    t, s = standardise(target, source)
    np.testing.assert_allclose(np.linalg.norm(t, axis=1), 1.0)
    centred = (target - source.mean(0, dtype=np.float64)) / np.where(source.std(0) > 0, source.std(0), 1)
    np.testing.assert_allclose(t, centred / np.linalg.norm(centred, axis=1, keepdims=True), rtol=1e-4)
    assert s.shape == source.shape
    alone, nothing = standardise(target, None)
    assert nothing is None
    assert np.abs(alone.mean()) < 0.1
