"""The next pick in the memory of the server: exact after every label.

While labels come in the order of the worklist the next pick is the next of that. Otherwise each image that was taken
since costs one row of distances.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.pool.patients import places_of_patients
from xssr_strategy.pool.ranking import PoolTerms, RankedImage, Ranking, read_terms, standardised_vectors
from xssr_strategy.selection import XSSR, IncrementalSelection
from xssr_strategy.tasks.pool_sets import OpenImages


@dataclass(frozen=True)
class LivePick:
    """The image to hand out next.

    Attributes:
        image: with the terms.
        coverage: mean and max of the pool by the images that are not waiting; None while all are.
        of_patient: a few words on the place among the images of its patient, if the ranking goes by patients.
    """

    image: RankedImage
    coverage: tuple[float, float] | None
    of_patient: str


class LiveSelection:
    """The selection behind a ranking, which goes on from the labels that there are, in whatever order they came.

    It opens itself anew from the store when the ranking has changed: the pool, the encoder or the rule did.

    Args:
        store: vectors, and what the ranking found out about the pool.
    """

    def __init__(self, store: EmbeddingStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._pool: _Pool | None = None
        self._selection: tuple[float, IncrementalSelection] | None = None

    def next(self, ranking: Ranking, waiting: OpenImages) -> LivePick | None:
        """The image to hand out next.

        None if no ranked image is waiting, or the store has moved on already; the coverage is None while all wait.

        Args:
            ranking: of the pool.
            waiting: images that may be handed out; the others count as picked.
        """
        with self._lock:
            pool = self._opened(ranking)
            if pool is None:
                return None
            taken = pool.taken(waiting)
            found = _as_ranked(ranking, taken) or self._as_selected(ranking, pool, taken)
            if found is None:
                return None
            pick, coverage = found
            return LivePick(pick, coverage if taken else None, pool.of_patient(pick.image, taken))

    def _as_selected(
        self, ranking: Ranking, pool: _Pool, taken: set[str]
    ) -> tuple[RankedImage, tuple[float, float]] | None:
        """By the distances to all that are taken."""
        if self._selection is None or self._selection[0] != ranking.alpha:
            images, target, source = standardised_vectors(ranking.encoder, pool.rows, self._store)
            if images != pool.terms.images:
                return None
            terms = pool.terms
            begun = XSSR(ranking.alpha).begin(target, source, rule=terms.rule, groups=terms.patients)
            self._selection = ranking.alpha, begun
        selection = self._selection[1]
        selection.update(sorted(pool.rows[image] for image in taken))
        candidate = selection.find()
        if candidate is None:
            return None
        terms_of = candidate.score, candidate.density, candidate.novelty, candidate.diversity
        return RankedImage(pool.terms.images[candidate.index], len(taken) + 1, *terms_of), selection.coverage()

    def _opened(self, ranking: Ranking) -> _Pool | None:
        if self._pool is None or self._pool.terms.key != ranking.key:
            terms = read_terms(self._store)
            if terms is None or terms.key != ranking.key:
                return None
            self._pool, self._selection = _Pool(terms), None
        return self._pool


class _Pool:
    """The images of a ranking.

    Attributes:
        terms: what the ranking found out about them.
        rows: image -> its place among them.
    """

    def __init__(self, terms: PoolTerms) -> None:
        self.terms = terms
        self.rows = {image: row for row, image in enumerate(terms.images)}
        self._patients = None if terms.patients is None else dict(zip(terms.images, terms.patients, strict=True))
        self._gone: tuple[frozenset[str], frozenset[str]] | None = None

    def taken(self, waiting: OpenImages) -> set[str]:
        """The images that are not waiting."""
        if self._gone is None or self._gone[0] is not waiting.images:
            self._gone = waiting.images, frozenset(self.rows.keys() - waiting.images)
        return {image for image in waiting.closed if image in self.rows} | self._gone[1]

    def of_patient(self, image: str, taken: set[str]) -> str:
        """As :attr:`LivePick.of_patient`."""
        return "" if self._patients is None else places_of_patients([image], taken, self._patients)[image]


def _as_ranked(ranking: Ranking, taken: set[str]) -> tuple[RankedImage, tuple[float, float]] | None:
    """The next pick of the ranking, and how what is taken covers the pool, if the picks before it are what is taken."""
    place = len(taken) - len(ranking.labelled)
    if not 0 <= place < len(ranking.covered) or not ranking.labelled <= taken:
        return None
    if any(pick.image not in taken for pick in ranking.picks[:place]):
        return None
    return ranking.picks[place], ranking.covered[place]
