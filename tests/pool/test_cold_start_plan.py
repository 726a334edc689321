"""The clusters of a pool, kept, and the picks from them while labels come in any order."""

from __future__ import annotations

import re

import numpy as np
import pytest

from xssr_strategy.embedding.store import TARGET, EmbeddingStore, Vector
from xssr_strategy.pool.cold_start_plan import ColdStartPlan, holds, read_plan, update
from xssr_strategy.pool.ranking import standardised_vectors
from xssr_strategy.selection import ColdStart
from xssr_strategy.settings import parse_settings

ENCODER = "conv_mae-0"
SETTINGS = parse_settings({"budget": "8"})


def fill(store: EmbeddingStore, count: int, first: int = 0) -> list[str]:
    """Vectors of three groups."""
    names = [f"i{number:03}" for number in range(first, first + count)]
    rng = np.random.default_rng(0)
    centres = 10.0 * rng.normal(size=(3, 6))
    noise = np.random.default_rng(1).normal(size=(200, 6))
    vectors = [centres[int(name[1:]) % 5 % 3] + noise[int(name[1:])] for name in names]
    store.put(TARGET, ENCODER, [Vector(n, "1", np.float32(v)) for n, v in zip(names, vectors, strict=True)])
    return names


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "embeddings.sqlite")


def made(store: EmbeddingStore, names: list[str], settings=SETTINGS) -> ColdStartPlan:
    plan = update(ENCODER, names, settings, store)
    assert plan is not None
    return plan


def test_the_picks_are_those_of_the_selector(store) -> None:
    names = fill(store, 60)
    plan = made(store, names).after(frozenset())
    images, target, _ = standardised_vectors(ENCODER, names, store)
    selection = ColdStart().select(target, 8)
    assert list(plan.picks) == [images[row] for row in selection.indices]
    assert list(plan.clusters) == selection.clusters.tolist()
    assert plan.silhouettes == selection.silhouettes
    assert len(set(plan.clusters)) == 3


def test_what_was_found_is_kept_and_read_back(store, monkeypatch) -> None:
    names = fill(store, 60)
    plan = made(store, names)
    assert read_plan(store) == plan
    monkeypatch.setattr("xssr_strategy.pool.cold_start_plan.ColdStart", None)  # it would be asked for new clusters
    assert made(store, names) == plan
    assert made(store, fill(store, 66)) == plan  # a tenth is new
    store.note("cold start", {"encoder": ENCODER})  # as another version may have left it
    assert read_plan(store) is None


def test_new_images_another_budget_and_another_encoder_ask_for_new_clusters(store) -> None:
    names = fill(store, 60)
    plan = made(store, names)
    assert holds(plan, ENCODER, "8", {*names, "new"})
    assert not holds(plan, ENCODER, "9", set(names))
    assert not holds(plan, "other", "8", set(names))
    more = fill(store, 67)
    assert not holds(plan, ENCODER, "8", set(more))
    assert len(made(store, more).images) == 67
    assert update("other", names, SETTINGS, store) is None


def test_labels_that_come_as_planned_change_nothing(store) -> None:
    plan = made(store, fill(store, 60)).after(frozenset())
    assert plan.after(set(plan.picks[:3])) is plan
    assert plan.after({plan.picks[5], "not in the pool"}) is plan


def test_other_labels_count_and_an_untouched_cluster_comes_first(store) -> None:
    plan = made(store, fill(store, 60)).after(frozenset())
    cluster = plan.cluster
    foreign = next(image for image in plan.images if cluster[image] == 0 and image not in plan.picks)
    after = plan.after({foreign})
    assert len(after.picks) == 7
    assert foreign not in after.picks
    assert {cluster[image] for image in after.picks[:2]} == {1, 2}
    assert [image for image in plan.picks if image in after.picks[:2]] == list(after.picks[:2])  # their medoids
    assert after.after(frozenset()).picks == plan.picks  # the label was taken back


def test_a_used_up_budget_is_followed_by_another_until_all_is_labelled(store) -> None:
    names = fill(store, 20)
    plan = made(store, names).after(frozenset())
    done: set[str] = set()
    while len(done) < 20:
        plan = plan.after(done)
        done.add(next(image for image in plan.picks if image not in done))
    assert plan.after(done).picks == ()


def test_the_reason_is_one_sentence_that_says_centre_for_the_first_of_a_cluster(store) -> None:
    plan = made(store, fill(store, 60)).after(frozenset())
    sentences = [plan.reason(image) for image in plan.picks]
    expected = (
        r"Cold start, pick \d: (the centre|far from what was picked before it) in cluster \d of 3, "
        r"which holds \d+ % of the pool\."
    )
    assert all(re.fullmatch(expected, sentence) for sentence in sentences), sentences
    assert ["the centre" in sentence for sentence in sentences] == [True] * 3 + [False] * 5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pools_with_fewer_images_than_clusters_asked_for(store, count: int) -> None:
    plan = made(store, fill(store, count)).after(frozenset())
    assert sorted(plan.picks) == sorted(plan.images)
    assert all(plan.reason(image) for image in plan.picks)


def test_a_pool_of_equal_images(store) -> None:
    names = [f"i{number}" for number in range(9)]
    store.put(TARGET, ENCODER, [Vector(name, "1", np.ones(4, dtype=np.float32)) for name in names])
    plan = made(store, names).after(frozenset())
    assert len(set(plan.picks)) == 8
    assert set(plan.clusters) == {0}
