"""The next pick in the memory of the server: exact after every label, at the cost of one row of distances."""

from __future__ import annotations

import threading
from collections.abc import Set
from dataclasses import dataclass

from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.pool.patients import places_of_patients
from xssr_strategy.pool.ranking import RankedImage, Ranking, read_terms, standardised_vectors
from xssr_strategy.selection import XSSR, IncrementalSelection


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
        self._of: tuple[str, float] | None = None
        self._images: list[str] = []
        self._patients: list[str] | None = None
        self._state: IncrementalSelection | None = None

    def next(self, ranking: Ranking, waiting: Set[str]) -> LivePick | None:
        """The image to hand out next.

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
            return LivePick(pick, state.coverage() if taken else None, self._of_patient(pick.image, taken))

    def _of_patient(self, image: str, taken: list[int]) -> str:
        if self._patients is None:
            return ""
        patients = dict(zip(self._images, self._patients, strict=True))
        return places_of_patients([image], [self._images[row] for row in taken], patients)[image]

    def _opened(self, ranking: Ranking) -> IncrementalSelection | None:
        if self._of != (ranking.key, ranking.alpha):
            terms = read_terms(self._store)
            if terms is None or terms.key != ranking.key:
                return None
            images, target, source = standardised_vectors(ranking.encoder, terms.images, self._store)
            if images != terms.images:
                return None
            self._state = XSSR(ranking.alpha).begin(target, source, rule=terms.rule, groups=terms.patients)
            self._patients = terms.patients
            self._images, self._of = images, (ranking.key, ranking.alpha)
        return self._state
