"""What every training method keeps, found by its name in the catalogue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.phantoms import ellipsoids, phantom_pairs, write_png
from tests.support.scans import CPU, STEPS, Scans, scans
from tests.support.trainings import MRI, XRAY, same
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.labels import reading
from xssr_strategy.segmentation import transforms
from xssr_strategy.segmentation.methods.catalogue import METHODS, method_names
from xssr_strategy.segmentation.pair_cache import MemoryCache, NoCache
from xssr_strategy.segmentation.training import EpochReport, TrainingStoppedError

pytestmark = pytest.mark.parametrize("name", method_names())  # their ablations are in tests/segmentation/methods


@pytest.mark.parametrize(
    ("preset", "labels"),
    [
        (XRAY, ("blob",)),
        pytest.param(XRAY, ("a", "b"), marks=pytest.mark.slow),
        pytest.param(replace(PRESETS["fundus"], segmentation_size=48), ("blob",), marks=pytest.mark.slow),
        pytest.param(MRI, ("blob",), marks=pytest.mark.slow),
        pytest.param(MRI, ("a", "b"), marks=pytest.mark.slow),
    ],
)
def test_the_same_seed_gives_the_same_network(
    name: str, tmp_path: Path, preset: Preset, labels: tuple[str, ...]
) -> None:
    found = scans(tmp_path, preset, labels)
    first = found.train(name, seed=3)
    torch.seed()  # whatever the process has drawn before
    assert same(first, found.train(name, seed=3))
    assert not same(first, found.train(name, seed=4))
    assert all(bool(torch.isfinite(value).all()) for value in first.values())


def test_one_label_is_enough(name: str, tmp_path: Path) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    assert not same(found.train(name, count=1, seed=1), found.train(name, count=2, seed=1))


def test_the_steps_of_the_stages_add_up_and_each_epoch_is_reported(name: str, tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    scans(tmp_path, XRAY, ("blob",)).train(name, report=reports.append)
    assert reports[-1].steps == STEPS
    # Others only say that a stage without steps begins, or are of what judges the masks.
    epochs = [one for one in reports if one.losses and one.stage != "mask quality"]
    assert [one.epoch for one in epochs] == list(range(1, len(epochs) + 1))
    assert all(np.isfinite(list(one.losses.values())).all() for one in epochs)


def test_a_training_stops_when_it_is_told(name: str, tmp_path: Path) -> None:
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(TrainingStoppedError):
        scans(tmp_path, XRAY, ("blob",)).train(name, stopped=stopped)
    assert asked == 4


def test_no_label_outside_the_budget_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    read: set[str] = set()
    for module in (transforms, reading):
        original = module.read_label

        def noting(path: str, *rest: object, original=original) -> object:  # type: ignore[no-untyped-def]
            read.add(str(path))
            return original(path, *rest)

        monkeypatch.setattr(module, "read_label", noting)
    for pair in found.pairs[2:]:
        Path(pair["label"]).write_bytes(b"no label")
    found.train(name, count=2)
    assert read == {pair["label"] for pair in found.pairs[:2]}


def test_memory_is_bounded_with_2000_unlabelled_images(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than a batch of the images is read at a step, and the cache keeps to its room."""
    file = write_png(
        tmp_path / "unlabelled.png", np.clip(60 + 120 * ellipsoids((60, 48), 1, np.random.default_rng(0))[0], 0, 255)
    )
    copies = {}
    for number in range(2000):
        copies[f"u{number:04}"] = tmp_path / f"u{number:04}.png"
        copies[f"u{number:04}"].hardlink_to(file)
    found = Scans(phantom_pairs(tmp_path, 2, 2, 1), copies, XRAY, ("blob",))
    read: list[str] = []
    original = transforms.read_image

    def noting(path: str | Path) -> object:
        read.append(str(path))
        return original(path)

    monkeypatch.setattr(transforms, "read_image", noting)
    cache = MemoryCache(CPU, room=10 * 48 * 48 * 4)
    found.train(name, cache=cache)
    looked_at = [path for path in read if "/u" in path]
    assert len(looked_at) <= 8 * STEPS, "a step reads a few images, not the pool"
    assert bool(looked_at) == METHODS[name].uses_unlabelled
    assert cache.held <= 10 * 48 * 48 * 4


@pytest.mark.slow
def test_caches_change_nothing(name: str, tmp_path: Path) -> None:
    found = scans(tmp_path, XRAY, ("blob",))
    assert same(found.train(name), found.train(name, cache=NoCache()))
