"""From images to a worklist with a foundation encoder: nothing is trained, and other weights embed again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.foundations import Small, script, timm_weights, volume
from tests.support.pools import Bench, order
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.encoder_training import TRAINING
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.settings import Settings, parse_settings


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def settings_of(bench: Bench, weights: Path) -> Settings:
    conf = {"source": str(bench.source), "budget": "4", "encoder": "timm:test_vit", "encoder_weights": str(weights)}
    return parse_settings(conf)


def test_images_become_a_ranking_without_training_and_other_weights_embed_again(bench: Bench, tmp_path) -> None:
    weights = timm_weights(tmp_path / "vit.pth", "test_vit")
    settings = settings_of(bench, weights)
    first = bench.update(settings=settings)
    assert TRAINING not in bench.stages
    assert sorted(order(first)) == sorted(find_images(bench.studies))
    assert first.novelty
    assert len(bench.store.fingerprints(SOURCE, first.encoder)) == 8
    kept = [path.name for path in bench.workspace.models.iterdir()]
    assert [name.startswith("encoder-timm-test_vit-xray-") for name in kept] == [True]
    assert bench.update(settings=settings) == first
    assert bench.stages == []

    timm_weights(weights, "test_vit", seed=1)
    second = bench.update(settings=settings)
    assert second.encoder != first.encoder
    assert len(bench.store.fingerprints(TARGET, second.encoder)) == 30
    assert bench.store.fingerprints(TARGET, first.encoder) == {}  # never mixed
    assert bench.update(settings=settings) == second
    assert bench.stages == []
    assert [path.name for path in bench.workspace.models.iterdir()] == kept

    weights.write_bytes(b"torn")
    with pytest.raises(UserError, match=r"vit\.pth: is damaged or no file of PyTorch weights"):
        bench.update(settings=settings)


def test_slices_and_pooling_change_the_vectors_of_volumes(tmp_path) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    for number in range(4):
        volume(studies / f"v{number}.nii.gz", number)
    file = script(tmp_path / "net.ts", Small(1))
    workspace = Workspace(tmp_path / "workspace")
    store = EmbeddingStore(workspace.store)
    vectors = []
    for more in ({}, {"encoder_slices": "3"}, {"encoder_pooling": "max"}):
        settings = parse_settings({"encoder": f"torchscript:{file}", "budget": "2", **more})
        ranking = pipeline.update(find_images(studies), (), settings, PRESETS["mri"], workspace, store)
        vectors.append(store.vectors(TARGET, ranking.encoder)[1])
    assert not np.allclose(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])
    assert len(list(workspace.models.iterdir())) == 3


def test_the_place_of_a_trained_encoder_depends_on_nothing_new(tmp_path) -> None:
    workspace, preset = Workspace(tmp_path), PRESETS["mri"]
    assert workspace.encoder(Settings(), preset) == workspace.encoder(Settings(encoder_slices=3), preset)
    foundation = Settings(encoder="dinov2")
    assert workspace.encoder(foundation, preset) == workspace.encoder(Settings(encoder="dinov2", seed=3), preset)
    assert workspace.encoder(foundation, preset) != workspace.encoder(
        Settings(encoder="dinov2", encoder_slices=3), preset
    )
