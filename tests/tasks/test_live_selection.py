"""The next pick: as the worklist says while it is followed, and as a selection from scratch says always."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore, Vector
from xssr_strategy.pool.ranking import Ranking, rank, read_ranking, standardised_vectors, write_ranking
from xssr_strategy.selection import XSSR, coverage_curve
from xssr_strategy.settings import parse_settings
from xssr_strategy.tasks.live_selection import LiveSelection
from xssr_strategy.tasks.pool_sets import OpenImages

IMAGES = frozenset(f"i{number:02}" for number in range(40))
ENCODER = "conv_mae-0"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddingStore]:
    store = EmbeddingStore(tmp_path / "embeddings.sqlite")
    rng = np.random.default_rng(0)
    for domain, names in ((TARGET, sorted(IMAGES)), (SOURCE, ["s0", "s1", "s2"])):
        store.put(domain, ENCODER, [Vector(name, "f", rng.normal(size=6).astype(np.float32)) for name in names])
    yield store
    store.close()


def ranked(store: EmbeddingStore, labelled: tuple[str, ...] = (), patients: dict[str, str] | None = None) -> Ranking:
    settings = parse_settings({"labels": "lung", "budget": "6"})
    write_ranking(store, rank(ENCODER, IMAGES, labelled, settings, store, keep_terms=True, patients=patients))
    ranking = read_ranking(store)
    assert ranking is not None
    return ranking


def assert_same(store: EmbeddingStore, ranking: Ranking, waiting: OpenImages) -> None:
    """The pick is that of a selection from scratch, be it looked up in the worklist or not."""
    images, target, source = standardised_vectors(ranking.encoder, IMAGES, store)
    taken = [row for row, image in enumerate(images) if image not in waiting]
    expected = XSSR(ranking.alpha).select(target, 1, source, taken)
    for one in (ranking, replace(ranking, covered=())):
        pick = LiveSelection(store).next(one, waiting)
        assert pick is not None
        assert pick.image.image == images[expected.indices[0]]
        assert pick.image.rank == len(taken) + 1
        assert pick.image.score == pytest.approx(expected.scores[0])
        for name in ("density", "novelty", "diversity"):
            assert getattr(pick.image, name) == pytest.approx(expected.terms[name][0])
        if taken:
            mean, largest = coverage_curve(target, taken)
            assert pick.coverage == pytest.approx((mean[-1], largest[-1]))
        else:
            assert pick.coverage is None


@pytest.mark.parametrize("labelled", [(), ("i03", "i17")])
def test_the_worklist_is_followed(store: EmbeddingStore, labelled: tuple[str, ...]) -> None:
    ranking = ranked(store, labelled)
    for place in range(8):
        closed = {*labelled, *(pick.image for pick in ranking.picks[:place])}
        assert_same(store, ranking, OpenImages(IMAGES, closed))


@pytest.mark.parametrize("others", [{"i05"}, {"i05", "i06"}, set(IMAGES) - {"i07"}])
def test_labels_come_in_another_order(store: EmbeddingStore, others: set[str]) -> None:
    ranking = ranked(store)
    for place in range(3):
        assert_same(store, ranking, OpenImages(IMAGES, others - {"i07"} | {one.image for one in ranking.picks[:place]}))


def test_a_label_of_the_ranking_is_deleted(store: EmbeddingStore) -> None:
    ranking = ranked(store, ("i03", "i17"))
    assert_same(store, ranking, OpenImages(IMAGES, {"i03"}))
    assert_same(store, ranking, OpenImages(IMAGES, {"i03", ranking.picks[0].image}))


def test_what_is_gone_counts_as_taken_and_what_is_new_does_not(store: EmbeddingStore) -> None:
    ranking = ranked(store)
    gone = ranking.picks[5].image
    assert_same(store, ranking, OpenImages(IMAGES - {gone}, {ranking.picks[0].image}))
    assert_same(store, ranking, OpenImages(IMAGES | {"new"}, {ranking.picks[0].image, "new"}))


def test_one_selection_goes_on_between_both_ways(store: EmbeddingStore) -> None:
    ranking, live = ranked(store), LiveSelection(store)
    order = [pick.image for pick in ranking.picks]
    for closed in ([], order[:1], [*order[:1], "i05"], order[:3], [*order[:3], "i05", "i06"], order[:2]):
        waiting = OpenImages(IMAGES, set(closed))
        assert live.next(ranking, waiting) == LiveSelection(store).next(ranking, waiting)
    assert live.next(ranking, OpenImages(IMAGES, IMAGES)) is None


def test_patients_take_turns(store: EmbeddingStore) -> None:
    patients = {image: f"p{int(image[1:]) // 4}" for image in IMAGES}
    ranking = ranked(store, patients=patients)
    assert len({patients[pick.image] for pick in ranking.picks[:10]}) == 10
    for place in (0, 4, 10, 11):
        waiting = OpenImages(IMAGES, {pick.image for pick in ranking.picks[:place]})
        looked_up, selected = (
            LiveSelection(store).next(one, waiting) for one in (ranking, replace(ranking, covered=()))
        )
        assert looked_up is not None
        assert selected is not None
        assert looked_up.image.image == selected.image.image == ranking.picks[place].image
        assert looked_up.of_patient.startswith("the second" if place >= 10 else "the first")


def test_the_store_has_moved_on(store: EmbeddingStore) -> None:
    ranking = ranked(store)
    assert LiveSelection(store).next(replace(ranking, key="of before"), OpenImages(IMAGES, frozenset())) is None
