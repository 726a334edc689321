"""The cold start of Levy et al. 2026, checked against a brute force and against what each step is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score, silhouette_score

from xssr_strategy.selection import ColdStart
from xssr_strategy.selection.clusters import clusters_by_silhouette, numbered
from xssr_strategy.selection.cold_start import medoid, shares
from xssr_strategy.selection.reduction import REDUCTIONS, principal_components, t_sne

SIZES = (60, 30, 20, 10)


@pytest.fixture
def groups() -> tuple[np.ndarray, np.ndarray]:
    """(120, 16) vectors of four groups in random order, and the group of each."""
    rng = np.random.default_rng(3)
    centres = 8.0 * rng.normal(size=(4, 16))
    owner = rng.permutation(np.repeat(np.arange(4), SIZES))
    return centres[owner] + rng.normal(size=(120, 16)), owner


def distances(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=2)


@pytest.mark.parametrize("reduction", list(REDUCTIONS))
def test_the_silhouette_finds_the_groups(reduction: str, groups) -> None:
    vectors, owner = groups
    selection = ColdStart(reduction).select(vectors, 12)
    assert selection.clusters is not None
    assert adjusted_rand_score(owner, selection.clusters) == 1.0
    tried = dict(selection.silhouettes)
    assert list(tried) == list(range(2, 13))
    assert max(tried, key=tried.__getitem__) == 4


def test_the_silhouettes_are_those_of_the_clusters(groups) -> None:
    vectors, _ = groups
    clusters, tried = clusters_by_silhouette(vectors, 6, 0)
    assert dict(tried)[4] == pytest.approx(silhouette_score(vectors, numbered(clusters, len(vectors))))


def test_medoids_come_first_and_the_rest_is_farthest_in_proportion(groups) -> None:
    vectors, owner = groups
    picks = ColdStart("none").select(vectors, 16).indices
    apart = distances(vectors)
    for rank, group in enumerate(range(4)):  # the groups are numbered by size
        members = np.flatnonzero(owner == group)
        inside = apart[np.ix_(members, members)]
        expected = [int(inside.sum(axis=1).argmin())]
        for _ in range(SIZES[group] // 10):  # 12 picks after the medoids among 120 images
            expected.append(int(inside[:, expected].min(axis=1).argmax()))
        found = [pick for pick in picks if owner[pick] == group]
        assert found == members[expected].tolist()
        assert picks[rank] == found[0]


def test_every_part_of_the_list_is_shared_as_the_whole_is(groups) -> None:
    vectors, owner = groups
    later = owner[ColdStart("none").select(vectors, 4 + 36).indices[4:]]
    for length in range(1, 37):
        counts = np.bincount(later[:length], minlength=4)
        assert np.abs(counts - length * np.array(SIZES) / 120).max() < 2.0


def test_a_cluster_with_a_label_needs_no_medoid(groups) -> None:
    vectors, owner = groups
    labeled = [int(np.flatnonzero(owner == 1)[0])]
    selection = ColdStart("none").select(vectors, 3, labeled=labeled)
    assert sorted(owner[selection.indices]) == [0, 2, 3]
    farther = ColdStart("none").select(vectors, 15, labeled=labeled).indices
    members = np.flatnonzero(owner == 1)
    first = next(pick for pick in farther if owner[pick] == 1)
    assert first == members[distances(vectors)[labeled[0], members].argmax()]


def test_fewer_picks_than_clusters_go_to_the_largest(groups) -> None:
    vectors, owner = groups
    labeled = np.flatnonzero(owner == 3)[:8].tolist()  # so that more clusters than picks may be tried
    assert sorted(owner[ColdStart("none").select(vectors, 2, labeled=labeled).indices]) == [0, 1]


def test_a_cluster_that_is_used_up_leaves_its_share_to_the_farthest_images() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(30, 3)), 50.0 + 0.1 * rng.normal(size=(3, 3))])
    picks = ColdStart("none", max_clusters=2).select(vectors, 33 - 2, labeled=[30, 31])
    assert set(picks.indices.tolist()) == set(range(33)) - {30, 31}


def test_a_single_pick_is_the_medoid_of_the_pool(groups) -> None:
    vectors, _ = groups
    selection = ColdStart("none").select(vectors, 1)
    assert selection.indices.tolist() == [distances(vectors).sum(axis=1).argmin()]
    assert selection.silhouettes == ()


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=12), st.integers(0, 300))
def test_shares_are_proportional_and_whole(clusters: list[tuple[int, int]], total: int) -> None:
    weights, limits = zip(*clusters, strict=True)
    parts = shares(total, weights, limits)
    quotas = [total * weight / sum(weights) for weight in weights]
    assert sum(shares(total, weights, [total] * len(weights))) == total
    for part, quota, limit in zip(parts, quotas, limits, strict=True):
        assert part == limit or abs(part - quota) < 1.0
        assert part <= limit


def test_largest_remainders_get_what_is_left() -> None:
    assert shares(10, [43, 33, 24], [99, 99, 99]) == [4, 3, 3]  # quotas 4.3, 3.3 and 2.4
    assert shares(1, [5, 5], [9, 9]) == [1, 0]
    assert shares(10, [43, 33, 24], [2, 99, 99]) == [2, 3, 3]


def test_the_medoid_in_blocks_is_that_of_all_distances(monkeypatch) -> None:
    vectors = np.random.default_rng(1).normal(size=(57, 5))
    monkeypatch.setattr("xssr_strategy.selection.cold_start._BLOCK", 100)
    assert medoid(vectors) == distances(vectors).sum(axis=1).argmin()


def test_the_silhouette_of_a_large_pool_is_that_of_a_sample_with_every_cluster(monkeypatch) -> None:
    monkeypatch.setattr("xssr_strategy.selection.clusters.SILHOUETTE_SAMPLE", 20)
    rng = np.random.default_rng(2)
    vectors = np.concatenate([rng.normal(size=(400, 2)), [[500.0, 0.0]]])  # the sample misses the last one
    clusters, tried = clusters_by_silhouette(vectors, 3, 0)
    assert [len(members) for members in clusters] == [400, 1]
    assert [number for number, _ in tried] == [2, 3]


def test_t_sne_keeps_neighbours_that_components_lose() -> None:
    rng = np.random.default_rng(5)
    vectors = 2.0 * rng.normal(size=(12, 30))[np.repeat(np.arange(12), 15)] + rng.normal(size=(180, 30))
    tsne, components = (trustworthiness(vectors, plane) for plane in (t_sne(vectors), principal_components(vectors, 2)))
    assert tsne > 0.98 > components


def test_another_seed_is_another_map_and_the_same_seed_the_same(groups) -> None:
    vectors, _ = groups
    np.testing.assert_array_equal(t_sne(vectors, 1), t_sne(vectors, 1))
    shifted = t_sne(vectors * 2.0**20, 1)
    np.testing.assert_allclose(shifted, t_sne(vectors, 1), rtol=1e-4)


def test_principal_components_of_few_images_are_filled_up_with_zeros() -> None:
    scores = principal_components(np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), 4)
    np.testing.assert_allclose(np.abs(scores), [[1.0, 0.0, 0.0, 0.0]] * 2)
