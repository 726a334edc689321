"""The next pick in the memory of the server: exact after every label, at the cost of one row of distances."""

from __future__ import annotations

import threading
from collections.abc import Set

from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.pool.ranking import RankedImage, Ranking, read_terms, standardised_vectors
from xssr_strategy.selection import XSSR, IncrementalSelection


class LiveSelection:
    """The selection behind a ranking, which goes on from the labels that there are, in whatever order they came.

    It opens itself anew from the store when the ranking has changed: the pool, the encoder or the rule did.

    Args:
        store: vectors, and what the ranking found out about the pool.
    """

    def __init__(self, store: EmbeddingStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._of: tuple[str, float] | None = None
        self._images: list[str] = []
        self._state: IncrementalSelection | None = None

    def next(self, ranking: Ranking, waiting: Set[str]) -> tuple[RankedImage, tuple[float, float] | None] | None:
        """The image to hand out next, and mean and max coverage of the pool by the images that are not waiting.

        None if no ranked image is waiting, or the store has moved on already; the coverage is None while all wait.

        Args:
            ranking: of the pool.
            waiting: images that may be handed out; the others count as picked.
        """
        with self._lock:
            state = self._opened(ranking)
            if state is None:
                return None
            taken = [row for row, image in enumerate(self._images) if image not in waiting]
            state.update(taken)
            candidate = state.find()
            if candidate is None:
                return None
            terms = candidate.score, candidate.density, candidate.novelty, candidate.diversity
            pick = RankedImage(self._images[candidate.index], len(taken) + 1, *terms)
            return pick, state.coverage() if taken else None

    def _opened(self, ranking: Ranking) -> IncrementalSelection | None:
        if self._of != (ranking.key, ranking.alpha):
            terms = read_terms(self._store)
            if terms is None or terms.key != ranking.key:
                return None
            images, target, source = standardised_vectors(ranking.encoder, terms.images, self._store)
            if images != terms.images:
                return None
            self._state = XSSR(ranking.alpha).begin(target, source, rule=terms.rule)
            self._images, self._of = images, (ranking.key, ranking.alpha)
        return self._state
