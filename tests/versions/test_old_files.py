"""Files that earlier versions of the software wrote: used, or made again, or refused with the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.version_stores import ENCODER, HERE, IMAGES, restore
from xssr_strategy.embedding.checkpoint import encoder_settings, load_encoder, save_encoder
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore, Vector
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.images.versions import kept_as
from xssr_strategy.pool import cold_start_plan
from xssr_strategy.pool.leases import Leases
from xssr_strategy.pool.ranking import rank, read_ranking, read_terms, write_ranking
from xssr_strategy.pool_map import layout
from xssr_strategy.segmentation.publication import load_model
from xssr_strategy.segmentation.score_stores import ImageScore, QualityStore, UncertaintyStore
from xssr_strategy.settings import parse_settings
from xssr_strategy.simulation.results import read_results

SETTINGS = parse_settings({"budget": "3"})


@pytest.mark.parametrize("dump", ["embeddings-04ae3d3.sql", "embeddings-a8dc146.sql"])
def test_vectors_are_kept_and_the_pool_is_ranked_from_them(tmp_path: Path, dump: str) -> None:
    store = EmbeddingStore(restore(dump, tmp_path / "embeddings.sqlite"))
    assert store.vectors(TARGET, ENCODER)[0] == IMAGES
    assert store.vectors(SOURCE, ENCODER)[1].shape == (4, 4)
    assert store.failures(TARGET) == {"broken": ("f", "is damaged")}
    ranking = rank(ENCODER, IMAGES, (), SETTINGS, store, keep_terms=True)
    write_ranking(store, ranking)
    assert read_ranking(store) == ranking
    assert read_terms(store) is not None
    plan = cold_start_plan.update(ENCODER, IMAGES, SETTINGS, store)
    assert plan is not None
    assert plan.images == tuple(IMAGES)
    assert len(layout.update(store, ENCODER, IMAGES, SETTINGS, plan).images) == 12
    store.close()


def test_a_ranking_with_other_fields_counts_as_none(tmp_path: Path) -> None:
    store = EmbeddingStore(restore("embeddings-04ae3d3.sql", tmp_path / "embeddings.sqlite"))
    assert store.read_note("ranking") is not None
    assert read_ranking(store) is None
    assert read_terms(store) is None
    store.close()


def test_ranking_clusters_and_places_of_the_first_map_are_used_as_they_are(tmp_path: Path) -> None:
    store = EmbeddingStore(restore("embeddings-a8dc146.sql", tmp_path / "embeddings.sqlite"))
    ranking, plan, places = read_ranking(store), cold_start_plan.read_plan(store), layout.read_layout(store)
    assert ranking is not None
    assert plan is not None
    assert places is not None
    assert (ranking.encoder, plan.encoder, len(places.images)) == (ENCODER, ENCODER, 12)
    assert not layout.is_due(store, ENCODER, IMAGES, SETTINGS)
    store.close()


@pytest.mark.parametrize("name", ["cold start", "map"])
def test_clusters_and_places_of_another_format_are_found_anew(tmp_path: Path, name: str) -> None:
    store = EmbeddingStore(restore("embeddings-a8dc146.sql", tmp_path / "embeddings.sqlite"))
    store.note(name, {**store.read_note(name), "format": 99})
    plan = cold_start_plan.update(ENCODER, IMAGES, SETTINGS, store)
    assert plan == cold_start_plan.read_plan(store)
    assert layout.update(store, ENCODER, IMAGES, SETTINGS, plan) is not None
    assert layout.read_layout(store) is not None
    store.close()


def test_leases_thumbnails_and_entropies_are_kept(tmp_path: Path) -> None:
    leases = Leases(restore("leases-64256e4.sql", tmp_path / "leases.sqlite"), 60, lambda: 1e9 + 60)
    assert [(lease.image, lease.client) for lease in leases.out().values()] == [("i0", "ann")]
    assert leases.skipped() == {"i1": "blurred"}
    assert leases.take("i2", "bob")
    thumbnails = ThumbnailStore(restore("thumbnails-65b4092.sql", tmp_path / "thumbnails.sqlite"))
    assert thumbnails.picture("target", "i0") == b"RIFF"
    entropies = UncertaintyStore(restore("uncertainty-9cfcb69.sql", tmp_path / "uncertainty.sqlite"))
    assert entropies.values("segmentation-0123456789ab") == {"i0": 0.25}
    assert entropies.wanted() == {"auto"}
    for store in (leases, thumbnails, entropies):
        store.close()


def test_qualities_that_were_found_in_another_way_are_found_again(tmp_path: Path) -> None:
    qualities = QualityStore(restore("quality-4603cf3.sql", tmp_path / "quality.sqlite"))
    model = "segmentation-0123456789ab"  # which is still published
    assert (qualities.asked(), qualities.means(), qualities.seen(model)) == (None, {}, set())
    assert qualities.wanted() == {"review"}
    qualities.put(model, [ImageScore("i1", kept_as("1"), {"liver": 0.25})])
    assert (qualities.asked(), qualities.means(), qualities.seen(model)) == (model, {"i1": 0.25}, {"i1"})
    qualities.forget_others(model)
    assert qualities.means() == {"i1": 0.25}
    qualities.close()


@pytest.mark.parametrize("commit", ["04ae3d3", "bb7fca5"])
def test_an_encoder_of_another_format_is_named_with_the_remedy(commit: str) -> None:
    for read in (load_encoder, encoder_settings):
        with pytest.raises(UserError, match=rf"{commit}\.safetensors is not an encoder checkpoint of this version .*"):
            read(HERE / f"encoder-{commit}.safetensors")


def test_an_encoder_of_a_newer_format_is_named_with_the_remedy(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "encoder.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("xssr_strategy.embedding.checkpoint._FORMAT", 4)
        save_encoder(path, "conv_mae", torch.nn.Linear(1, 1), PRESETS["xray"], {})
    with pytest.raises(UserError, match=r"delete it and the encoder is trained again"):
        load_encoder(path)


def test_a_segmentation_model_that_does_not_fit_is_named_with_the_remedy(tmp_path: Path) -> None:
    for suffix in (".pt", ".json"):
        shutil.copy(HERE / f"segmentation-710040e{suffix}", tmp_path / f"segmentation{suffix}")
    with pytest.raises(UserError, match=r"segmentation\.\w+: .*; train again"):
        load_model(tmp_path / "segmentation.pt")


def test_a_result_of_a_simulation_with_other_fields_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    shutil.copy(HERE / "job-f685595.json", tmp_path / "jobs" / "xssr-5-d0-s0.json")
    with pytest.raises(UserError, match=r"xssr-5-d0-s0\.json: .*of another version.*; delete it and run again"):
        read_results(tmp_path)


def test_vectors_of_two_encoders_never_come_together(tmp_path: Path) -> None:
    store = EmbeddingStore(restore("embeddings-a8dc146.sql", tmp_path / "embeddings.sqlite"))
    other = "conv_mae-ba9876543210"
    for domain in (TARGET, SOURCE):
        images, vectors = store.vectors(domain, ENCODER)
        states = store.fingerprints(domain, ENCODER)
        rows = [_vector(image, states[image], 100 + 9 * row[::-1]) for image, row in zip(images, vectors, strict=True)]
        store.put(domain, other, rows[: len(rows) // 2])
    alone = EmbeddingStore(tmp_path / "alone.sqlite")
    for domain in (TARGET, SOURCE):
        images, vectors = store.vectors(domain, other)
        states = store.fingerprints(domain, other)
        alone.put(
            domain, other, [_vector(image, states[image], row) for image, row in zip(images, vectors, strict=True)]
        )
    for encoder in (ENCODER, other):
        ranking = rank(encoder, IMAGES, (), SETTINGS, store)
        assert {pick.image for pick in ranking.picks} == set(store.fingerprints(TARGET, encoder))
        assert len(layout.update(store, encoder, IMAGES, SETTINGS).images) == (12 if encoder == ENCODER else 6)
    assert rank(other, IMAGES, (), SETTINGS, store) == rank(other, IMAGES, (), SETTINGS, alone)
    plan = cold_start_plan.update(other, IMAGES, SETTINGS, store)
    assert plan == cold_start_plan.update(other, IMAGES, SETTINGS, alone)
    assert plan is not None
    assert len(plan.images) == 4
    for one in (store, alone):
        one.close()


def _vector(image: str, state: str, values: np.ndarray) -> Vector:
    return Vector(image, state, values.astype(np.float32))
