"""The cold start of a pool: its clusters, and which images to annotate first (Levy et al. 2026, arXiv 2601.18532).

t-SNE and the silhouettes of many numbers of clusters take a minute for 10,000 images: the clusters are found beforehand
and kept. What to pick from them, given the labels that there are, takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.pool.ranking import standardised_vectors
from xssr_strategy.selection import Clustering, ColdStart
from xssr_strategy.settings import Settings

_NOTE = "cold start"
_NEW = 0.1  # share of the pool that may be new before the clusters are found anew (our choice)


@dataclass(frozen=True)
class ColdStartPlan:
    """Clusters and picks of a pool.

    Attributes:
        encoder: id of the encoder checkpoint.
        asked: the budget that was set, as text.
        budget: the same as a number of images.
        images: of the pool, sorted.
        plane: two coordinates of each of ``images``.
        clusters: number of the cluster of each of ``images``, from 0.
        silhouettes: (number of clusters, mean silhouette) for every number tried.
        labelled: images that counted as labelled when the picks were made.
        picks: in pick order; as many as were left of the budget, or another budget if none was.
    """

    encoder: str
    asked: str
    budget: int
    images: tuple[str, ...]
    plane: tuple[tuple[float, ...], ...]
    clusters: tuple[int, ...]
    silhouettes: tuple[tuple[int, float], ...]
    labelled: frozenset[str] = frozenset()
    picks: tuple[str, ...] = ()

    @property
    def cluster(self) -> dict[str, int]:
        """image -> number of its cluster."""
        return dict(zip(self.images, self.clusters, strict=True))

    def after(self, labelled: Set[str]) -> ColdStartPlan:
        """This plan while labels come as it says and a pick is left, else one with picks that know of all labels.

        Args:
            labelled: images that are annotated or with annotators; those of no cluster do not matter.
        """
        done = labelled & set(self.images)
        if self.labelled <= done <= self.labelled | set(self.picks) and set(self.picks) - done:
            return self
        rows = [row for row, image in enumerate(self.images) if image in done]
        left = self.budget - len(rows) if self.budget > len(rows) else self.budget
        count = min(left, len(self.images) - len(rows))
        clustering = Clustering(np.array(self.plane), np.array(self.clusters))
        picks = clustering.pick(count, rows) if count else []
        return replace(self, labelled=frozenset(done), picks=tuple(self.images[row] for row in picks))

    def reason(self, image: str) -> str:
        """One plain sentence for the annotator: why this pick."""
        cluster, place = self.cluster, self.picks.index(image)
        mine = {other for other in self.images if cluster[other] == cluster[image]}
        centre = not mine & {*self.labelled, *self.picks[:place]}
        what = "the centre" if centre else "far from what was picked before it"
        share = f"{100 * len(mine) / len(self.images):.0f} % of the pool"
        return (
            f"Cold start, pick {len(self.labelled) + place + 1}: {what} in cluster {cluster[image] + 1} "
            f"of {len(set(self.clusters))}, which holds {share}."
        )


def read_plan(store: EmbeddingStore) -> ColdStartPlan | None:
    """The clusters last written, without picks, or None; those of another version count as none."""
    note = store.read_note(_NOTE)
    if note is None or note.keys() != {field.name for field in fields(ColdStartPlan)} - {"labelled", "picks"}:
        return None
    pairs = {name: tuple(tuple(pair) for pair in note[name]) for name in ("plane", "silhouettes")}
    return ColdStartPlan(**{**note, **pairs, "images": tuple(note["images"]), "clusters": tuple(note["clusters"])})


def plan_mark(store: EmbeddingStore) -> str:
    """A value that changes whenever the plan is written."""
    return store.mark(_NOTE)


def write_plan(store: EmbeddingStore, plan: ColdStartPlan) -> None:
    """Keep the clusters of a plan in place of those before; its picks are found anew."""
    store.note(_NOTE, {name: value for name, value in asdict(plan).items() if name not in ("labelled", "picks")})


def forget_plan(store: EmbeddingStore) -> None:
    """Have the clusters found anew: some of the vectors that they were found in were wrong."""
    store.note(_NOTE, None)


def holds(plan: ColdStartPlan, encoder: str, asked: str, known: Set[str]) -> bool:
    """Whether the clusters still serve: same encoder and budget, few new images.

    Args:
        known: images of the pool that have a vector.
    """
    new = len(known - set(plan.images))
    return (plan.encoder, plan.asked) == (encoder, asked) and new <= _NEW * len(plan.images)


def update(encoder: str, pool: Collection[str], settings: Settings, store: EmbeddingStore) -> ColdStartPlan | None:
    """Find the clusters anew if those that are kept do not serve; None if no image of the pool has a vector.

    Args:
        pool: ids of every image, labelled ones included.
    """
    plan = read_plan(store)
    known = store.fingerprints(TARGET, encoder).keys() & set(pool)
    if not known:
        return None
    asked, budget = str(settings.budget), settings.budget.of(len(pool))
    if plan is not None and holds(plan, encoder, asked, known):
        return plan
    images, target, _ = standardised_vectors(encoder, pool, store)
    found = ColdStart(seed=settings.seed).cluster(target, budget)
    plane = tuple(tuple(row) for row in found.vectors.tolist())
    plan = ColdStartPlan(
        encoder, asked, budget, tuple(images), plane, tuple(found.clusters.tolist()), found.silhouettes
    )
    write_plan(store, plan)
    return plan
