"""The selectors of the literature against scikit-activeml's, and against slow references written from the formulas.

scikit-activeml breaks ties at random. It is given the vectors in canonical order, and where ties are common the first
is made to win, as with us.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import skactiveml.pool as peers
from hypothesis import given, settings
from hypothesis import strategies as st
from skactiveml.pool import _prob_cover
from sklearn import cluster

from xssr_strategy.selection import CoreSet, FacilityLocation, KMeans, ProbCover, Selector, TypiClust, facility_location
from xssr_strategy.selection.backend import backend_on
from xssr_strategy.selection.clusters import k_means_clusters
from xssr_strategy.selection.points import TIE, Points, canonical_order
from xssr_strategy.selection.prob_cover import balls, pure_radius
from xssr_strategy.selection.typi_clust import most_typical

DATA_SETS = range(25)
every_data_set = pytest.mark.parametrize("seed", DATA_SETS)


def blobs(seed: int, size: int = 90, dimensions: int = 5) -> np.ndarray:
    """Overlapping blobs of different widths, in canonical order."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, dimensions)) * 2
    target = centres[rng.integers(0, 5, size)] + rng.normal(size=(size, dimensions)) * rng.uniform(0.3, 1.5, (size, 1))
    return target[canonical_order(target)]


def grid(seed: int, size: int, side: int = 5) -> np.ndarray:
    """Points of a small grid far from the origin, in canonical order: full of ties and duplicates."""
    target = np.random.default_rng(seed).integers(0, side, size=(size, 2)) + 1000.0
    return target[canonical_order(target)]


def distances(target: np.ndarray) -> np.ndarray:
    return np.linalg.norm(target[:, None] - target[None], axis=2)


def labels(size: int, labeled: list[int]) -> np.ndarray:
    """As scikit-activeml wants them: NaN where there is none."""
    y = np.full(size, np.nan)
    y[labeled] = 0.0
    return y


@every_data_set
def test_core_set_is_scikit_activemls(seed: int) -> None:
    # With nothing labelled they start at a random image and we at the central one: so one image is labelled.
    target, labeled = blobs(seed), [seed]
    theirs = peers.CoreSet(random_state=0).query(target, labels(len(target), labeled), batch_size=30)
    assert CoreSet().select(target, 30, labeled=labeled).indices.tolist() == theirs.tolist()


@every_data_set
def test_typi_clust_is_scikit_activemls(seed: int) -> None:
    # Both have one k-means start with the same seed.
    # k is 2 here: they cut a larger k at the size of the cluster, we and the paper's code at half of it.
    # Their 1e-7 is added to the sum of the distances, our and the paper's 1e-5 to the mean: no matter for an argmax.
    # One image is labelled, so that each has one pick for every other cluster: with two labelled images in one cluster
    # they, too, have a cluster to spare, and beyond the clusters they pick at random and we go round again.
    # Clusters of fewer than 5 images come last with us, so these data have none.
    # Ties between the sizes of clusters are random with them, so the picks are compared without their order; that is
    # checked by test_typi_clust_is_its_rule.
    target = np.random.default_rng(seed).normal(size=(200, 3))
    target, labeled = target[canonical_order(target)], [seed]
    peer = peers.TypiClust(random_state=0, cluster_algo_dict={"n_init": 1, "random_state": 0}, k=2)
    theirs = peer.query(target, labels(len(target), labeled), batch_size=7)
    assert sorted(TypiClust(neighbours=2).select(target, 7, labeled=labeled).indices) == sorted(theirs)


@pytest.mark.filterwarnings("ignore:The maximum purity")  # theirs complains of a single radius
@every_data_set
def test_prob_cover_is_scikit_activemls(seed: int, monkeypatch) -> None:
    # Ties are the rule between counts: the first wins here.
    # When all is covered they pick at random and we begin a new round: their picks count up to there.
    # A pair exactly at the radius is within with us and a matter of rounding with them: the radius lies between pairs.
    monkeypatch.setattr(_prob_cover, "rand_argmax", lambda values, random_state: [np.nanargmax(values)])
    target, labeled = blobs(seed), [seed, 80]
    pairs = np.unique(distances(target))
    radius = pairs[len(pairs) // 20 :][:2].mean()
    peer = peers.ProbCover(deltas=[radius], random_state=0)
    theirs, counts = peer.query(target, labels(len(target), labeled), batch_size=40, return_utilities=True)
    theirs = theirs[np.nanmax(counts, axis=1) > 0]
    assert len(theirs) > 10
    selection = ProbCover(radius).select(target, 40, labeled=labeled)
    assert selection.indices[: len(theirs)].tolist() == theirs.tolist()
    np.testing.assert_allclose(selection.scores[: len(theirs)] * len(target), np.nanmax(counts, axis=1)[: len(theirs)])


@every_data_set
def test_the_radius_of_prob_cover_is_scikit_activemls(seed: int) -> None:
    # They try a grid, 0.2 to 2.0 by default, and we know the supremum: so their grid is all radii that make a
    # difference, and the radii are the same if they hold the same pairs.
    target = blobs(seed, size=50)
    pairs = np.unique(distances(target))
    peer = peers.ProbCover(
        n_classes=4,
        deltas=(pairs[1:] + pairs[:-1]) / 2,
        alpha=0.93,
        cluster_algo_dict={"n_init": 1, "random_state": 5},
    )
    peer.query(target, labels(len(target), []))
    points = Points(target, backend_on(None))
    ours = pure_radius(points, k_means_clusters(points, 4, 5), 0.93)
    assert np.count_nonzero(pairs <= ours) == np.count_nonzero(pairs <= peer.delta_max_) > 1


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 60), count=st.integers(1, 12), neighbours=st.integers(1, 6))
def test_typi_clust_is_its_rule(seed: int, size: int, count: int, neighbours: int) -> None:
    rng = np.random.default_rng(seed)
    target = blobs(seed, size)
    member = rng.integers(0, count, size)  # any clusters will do
    clusters = [np.flatnonzero(member == number) for number in dict.fromkeys(member.tolist())]
    labeled = np.sort(rng.permutation(size)[: rng.integers(0, size)])
    budget = int(rng.integers(1, size - len(labeled) + 1))

    distance = distances(target)
    closed, expected = labeled.tolist(), []
    for _ in range(budget):
        left = [members for members in clusters if set(members) - set(closed)]
        members = min(left, key=lambda some: (len(some) < 5, len(set(some) & set(closed)), -len(some)))
        k = max(1, min(neighbours, len(members) // 2))
        typicality = {
            i: 1 / (np.mean(sorted(distance[i, j] for j in members if j != i)[:k] or [0.0]) + 1e-5) for i in members
        }
        best = max(typicality[i] for i in members if i not in closed)
        pick = next(int(i) for i in members if i not in closed and typicality[i] >= best * (1 - TIE))
        closed.append(pick)
        expected.append(pick)
    picks = most_typical(Points(target, backend_on(None)), clusters, budget, labeled, neighbours)
    assert picks.indices.tolist() == expected


@pytest.mark.parametrize("size", [3, 40, 200])
def test_typi_clust_has_at_most_max_clusters(size: int) -> None:
    target = blobs(0, size)
    points = Points(target, backend_on(None))
    clusters = k_means_clusters(points, 3, 0)
    picks = TypiClust(max_clusters=3).select(target, 3).indices
    assert sorted(sum(pick in members for pick in picks) for members in clusters) == [1, 1, 1]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 60), labels=st.integers(0, 5), tied=st.booleans())
def test_prob_cover_is_its_rule(seed: int, size: int, labels: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    target = grid(seed, size) if tied else blobs(seed, size)
    radius = float(rng.choice([0.5, 1.0, np.sqrt(2.0), 2.0, 50.0]))
    labeled = rng.permutation(size)[: min(labels, size - 1)].tolist()
    budget = int(rng.integers(1, size - len(labeled) + 1))

    within = distances(target) <= radius * (1 + TIE)
    assert [ball.tolist() for ball in balls(Points(target, backend_on(None)), radius)] == [
        np.flatnonzero(row).tolist() for row in within
    ]
    closed, covered, expected = list(labeled), within[labeled].any(axis=0), []
    for _ in range(budget):
        if covered.all():
            covered = np.isin(np.arange(size), closed)
        counts = (within & ~covered).sum(axis=1)
        counts[closed] = -1
        closed.append(int(counts.argmax()))
        expected.append(closed[-1])
        covered = covered | within[closed[-1]]
    picks = ProbCover(radius).select(target, budget, labeled=labeled).indices
    if tied:  # equal rows are interchangeable
        assert target[picks].tolist() == target[expected].tolist()
    else:
        assert picks.tolist() == expected


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 60),
    labels=st.integers(0, 5),
    tied=st.booleans(),
    room=st.sampled_from([0, 100, 1 << 20]),
)
def test_facility_location_is_the_plain_greedy_rule(seed: int, size: int, labels: int, tied: bool, room: int) -> None:
    rng = np.random.default_rng(seed)
    target = grid(seed, size) if tied else blobs(seed, size)
    labeled = rng.permutation(size)[: min(labels, size - 1)].tolist()
    budget = int(rng.integers(1, size - len(labeled) + 1))

    distance = distances(target)
    bound = 2 * np.linalg.norm(target - target.mean(axis=0), axis=1).max()
    nearest = distance[labeled].min(axis=0) if labeled else np.full(size, bound)
    closed, expected, scores = list(labeled), [], []
    for _ in range(budget):
        gains = np.array([np.maximum(nearest - distance[i], 0).sum() if i not in closed else -1 for i in range(size)])
        best = int(np.argmax(gains >= gains.max() - TIE * nearest.sum()))
        closed.append(best)
        expected.append(best)
        scores.append(gains[best] / size)
        nearest = np.minimum(nearest, distance[best])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facility_location, "_ROOM", room)
        selection = FacilityLocation().select(target, budget, labeled=labeled)
    assert selection.indices.tolist() == expected
    np.testing.assert_allclose(selection.scores, scores, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_facility_location_keeps_its_guarantee(seed: int) -> None:
    target = blobs(seed, 14)
    distance = distances(target)
    bound = 2 * np.linalg.norm(target - target.mean(axis=0), axis=1).max()
    best = max((bound - distance[list(some)].min(axis=0)).sum() for some in combinations(range(14), 4))
    reached = FacilityLocation().select(target, 4).scores.sum() * len(target)
    assert (1 - 1 / np.e) * best <= reached <= best * (1 + 1e-9)


@every_data_set
def test_k_means_picks_are_nearest_to_the_centres(seed: int) -> None:
    target = blobs(seed)
    model = cluster.KMeans(8, n_init=1, random_state=seed).fit(target)
    expected = []
    for label in sorted(range(8), key=lambda label: -np.sum(model.labels_ == label)):
        members = np.flatnonzero(model.labels_ == label)
        distance = np.linalg.norm(target[members] - model.cluster_centers_[label], axis=1)
        expected.append(members[np.argmax(distance <= distance.min() + 1e-9)])  # two images are equally near
    selection = KMeans(seed).select(target, 8)
    sizes = np.bincount(model.labels_)[model.labels_[selection.indices]]
    assert sorted(selection.indices) == sorted(expected)
    assert sizes.tolist() == sorted(sizes, reverse=True)
    np.testing.assert_allclose(selection.scores, sizes / len(target))


def test_k_means_leaves_clusters_with_a_labelled_image_for_last() -> None:
    rng = np.random.default_rng(0)
    target = np.repeat(np.eye(6) * 50, 10, axis=0) + rng.normal(size=(60, 6))
    labeled = [3, 12, 13]  # of the first and second of six blobs, nine clusters
    picks = KMeans().select(target, 4, labeled=labeled).indices
    assert {2, 3, 4, 5} <= set(picks // 10)


def test_k_means_fills_up_with_the_farthest() -> None:
    # Three distinct points, of which one is labelled: no cluster is left for the last picks.
    target = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]], 4, axis=0)
    selection = KMeans().select(target, 6, labeled=[0])
    assert len(set(selection.indices.tolist()) - {0}) == 6
    assert selection.scores.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0, 0.0, 0.0])
    assert selection.max_coverage == 0.0


@pytest.mark.parametrize("selector", [KMeans(), TypiClust(), ProbCover()], ids=["k-means", "typi-clust", "prob-cover"])
def test_fewer_distinct_images_than_clusters_are_no_matter_for_a_warning(selector: Selector, recwarn) -> None:
    target = np.repeat([[0.1, 0.2], [1.0, 0.3], [0.7, 5.0]], 20, axis=0)
    selector.select(target, 12)
    assert not recwarn.list
