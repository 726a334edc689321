"""Places on the map: the same every time, kept while few images are new, and there for the smallest pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.map_stores import ENCODER, filled, groups, put
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.pool import cold_start_plan
from xssr_strategy.pool_map import layout
from xssr_strategy.pool_map.layout import MapLayout, Name, is_due, layout_key, read_layout, update
from xssr_strategy.settings import parse_settings

SETTINGS = parse_settings({"budget": "5"})


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return filled(tmp_path / "store.sqlite", 60, 12)


def images(store: EmbeddingStore) -> list[str]:
    return sorted(store.fingerprints(TARGET, ENCODER))


def laid_out(store: EmbeddingStore) -> MapLayout:
    return update(store, ENCODER, images(store), SETTINGS)


def places(found: MapLayout) -> dict[Name, NDArray[np.float64]]:
    return dict(zip(found.images, found.places, strict=True))


def test_everything_has_a_place_near_its_like(store: EmbeddingStore) -> None:
    found = laid_out(store)
    assert [domain for domain, _ in found.images] == [SOURCE] * 12 + [TARGET] * 60
    assert np.abs(found.places).max() == pytest.approx(1.0, abs=1e-3)
    ours = found.places[12:]
    middles = [ours[group::3].mean(axis=0) for group in range(3)]
    nearest = np.argmin([np.linalg.norm(ours - middle, axis=1) for middle in middles], axis=0)
    assert (nearest == np.arange(60) % 3).mean() > 0.8


def test_it_is_kept_and_the_same_elsewhere(store: EmbeddingStore, tmp_path: Path) -> None:
    assert is_due(store, ENCODER, images(store), SETTINGS)
    found = laid_out(store)
    assert not is_due(store, ENCODER, images(store), SETTINGS)
    assert layout_key(store) == found.key
    again, read = laid_out(store), read_layout(store)
    assert read is not None
    assert again.key == read.key == laid_out(filled(tmp_path / "other.sqlite", 60, 12)).key
    np.testing.assert_array_equal(read.places, found.places)
    assert is_due(store, ENCODER, images(store), parse_settings({"seed": "1"}))


def test_a_few_new_images_come_beside_their_neighbours(store: EmbeddingStore) -> None:
    before = laid_out(store)
    put(store, TARGET, {"new": groups(60)["i007"] + 0.001})
    assert is_due(store, ENCODER, images(store), SETTINGS)
    found = laid_out(store)
    assert found.key != before.key
    assert [name for name, joined in zip(found.images, found.joined, strict=True) if joined] == [(TARGET, "new")]
    where = places(found)
    assert all((where[name] == place).all() for name, place in places(before).items())
    assert 0 < np.linalg.norm(where[TARGET, "new"] - where[TARGET, "i007"]) < 0.02


def test_many_new_images_change_the_map(store: EmbeddingStore) -> None:
    before = laid_out(store)
    for day in range(3):  # four at a time, but of 72 that makes too many
        put(store, TARGET, groups(4, seed=5 + day, prefix=f"day{day}-"))
        found = laid_out(store)
        assert found.joined.sum() == (4, 0, 4)[day] or day
    assert found.joined.sum() < 8
    assert not (places(found)[TARGET, "i000"] == places(before)[TARGET, "i000"]).all()


def test_a_changed_image_moves_and_one_that_is_gone_leaves(store: EmbeddingStore) -> None:
    before = laid_out(store)
    put(store, TARGET, {"i000": groups(60)["i001"] + 0.001}, state="2")
    store.forget(TARGET, ENCODER, ["i005"])
    where = places(laid_out(store))
    assert (TARGET, "i005") not in where
    assert np.linalg.norm(where[TARGET, "i000"] - places(before)[TARGET, "i001"]) < 0.02


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("alike", [False, True])
def test_small_pools_and_equal_images(tmp_path: Path, count: int, alike: bool) -> None:
    store = EmbeddingStore(tmp_path / "store.sqlite")
    put(store, TARGET, {f"i{i}": np.ones(4) if alike else np.eye(7, 4)[i % 4] * (i + 1) for i in range(count)})
    found = laid_out(store)
    assert found.places.shape == (count, 2)
    assert np.isfinite(found.places).all()
    read = read_layout(store)
    assert read is not None
    assert read.places.shape == (count, 2)


def test_without_a_source_the_cold_start_has_done_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "store.sqlite", 30)
    plan = cold_start_plan.update(ENCODER, images(store), SETTINGS, store)
    monkeypatch.setattr(layout, "t_sne", None)
    found = update(store, ENCODER, images(store), SETTINGS, plan)
    assert plan is not None
    plane = np.array(plan.plane)
    np.testing.assert_allclose(np.corrcoef(found.places[:, 0], plane[:, 0])[0, 1], 1.0, atol=1e-6)
