"""What the served map shows: made anew when something has changed, kept while nothing has."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from xssr_strategy.datastores import image_sets
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.cold_start_plan import read_plan
from xssr_strategy.pool.encoder_training import TRAINING
from xssr_strategy.pool.ranking import Ranking, read_terms
from xssr_strategy.pool_map.colours import ENTROPY, QUALITY, colours
from xssr_strategy.pool_map.content import MapContent, changing_part, fixed_part, images_of
from xssr_strategy.pool_map.label_order import in_label_order
from xssr_strategy.pool_map.layout import MapLayout, layout_key, read_layout
from xssr_strategy.pool_map.sites import name_of, sites_of
from xssr_strategy.pool_map.states import PoolState
from xssr_strategy.tasks.project import READY, WAITING, Project

_SENTENCES = {
    WAITING: "The images are waiting to be embedded.",
    pipeline.FETCHING: "The images are being fetched from the archive: {}.",
    TRAINING: "The encoder is being trained: step {}.",
    pipeline.EMBEDDING: "The images are being embedded: {}.",
    READY: "The map is being laid out, which takes a few minutes for ten thousand images.",
}


@dataclass(frozen=True)
class PoolSnapshot:
    """What the server knows at a moment, cheap to find and to compare.

    Attributes:
        images: ids of the datastore, skipped ones included.
        labelled: with a final label.
        files: id -> label file; empty if the pool is in an archive.
        leased: (id, end of the lease), in the order in which they were handed out.
        skipped, failed: id -> reason.
        ranking: the worklist.
        entropies: id -> entropy of the segmentation in nats, by the model that was asked last.
        qualities: id -> quality of the automatic mask for each label, likewise.
        waiting: what is going on while there is no map.
    """

    images: frozenset[str]
    labelled: frozenset[str]
    files: Mapping[str, str]
    leased: tuple[tuple[str, float], ...]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]
    ranking: Ranking | None
    entropies: Mapping[str, float]
    qualities: Mapping[str, Mapping[str, float]]
    waiting: str


class MapView:
    """The map of one project.

    Args:
        project: what is shown.
        studies: its folder or URL.
    """

    def __init__(self, project: Project, studies: str) -> None:
        self._project, self._studies = project, studies
        # A connection of its own: the project's is asked in another thread.
        self._store = EmbeddingStore(project.workspace.store)
        self._thumbnails = ThumbnailStore(project.workspace.thumbnails)
        self._lock = threading.Lock()
        self._read: tuple[int, int] | None = None
        self._layout: MapLayout | None = None
        self._clusters: Mapping[str, int] = {}
        self._patients: Mapping[str, str] | None = None
        self._files: dict[str, str] = {}
        self._fixed: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._made_from: tuple[PoolSnapshot, tuple[int, int]] | None = None
        self._content: MapContent | None = None

    def look(self, datastore: Datastore) -> PoolSnapshot:
        """What is known now; reads the store only if somebody has written to it."""
        project = self._project
        images, labelled = image_sets.images_of(datastore), image_sets.labelled_of(datastore)
        if project.archive is None and self._files.keys() != labelled:
            final = DefaultLabelTag.FINAL
            self._files = {i: self._files.get(i) or datastore.get_label_uri(i, final) for i in labelled}
        waiting = ""
        if self._layout is None:
            state = project.state(datastore)
            waiting = state.error or _SENTENCES[state.state].format(state.progress.replace("/", " of "))
        return PoolSnapshot(
            images=images,
            labelled=labelled,
            files=self._files,
            leased=tuple((image, lease.ends) for image, lease in project.leases.out().items()),
            skipped=project.leases.skipped(),
            failed=project.failed,
            ranking=project.ranking,
            entropies=project.uncertainty.asked()[1],
            qualities=project.qualities.asked()[1],
            waiting=waiting,
        )

    def whole(self, facts: PoolSnapshot) -> bytes:
        """``content``, all of it, or ``waiting`` while there is no map; JSON."""
        content = self._up_to_date(facts)
        return _json({"waiting": facts.waiting} if content is None else {"content": content.whole()})

    def since(self, facts: PoolSnapshot, version: str) -> bytes:
        """What a page that shows this version has to learn: ``changing``, ``content``, or nothing at all; JSON."""
        content = self._up_to_date(facts)
        if content is None:
            return _json({"waiting": facts.waiting})
        if content.changing["version"] == version:
            return b"{}"
        if version.partition(".")[0] != content.fixed["version"]:
            return _json({"content": content.whole()})
        return _json({"changing": content.changing})

    def picture(self, domain: str, image: str) -> bytes | None:
        """The WebP file of an image, or None."""
        return self._thumbnails.picture(domain, image)

    def _up_to_date(self, facts: PoolSnapshot) -> MapContent | None:
        with self._lock:
            version = self._store.version()
            if self._made_from == (facts, version):
                return self._content
            key = layout_key(self._store)
            if key is None:
                return None
            if version != self._read:
                if self._layout is None or self._layout.key != key:
                    self._layout = read_layout(self._store)
                plan = read_plan(self._store)
                self._clusters = {} if plan is None else plan.cluster
                self._patients = self._of_whom()
                self._read = version
            self._content = self._made(facts)
            self._made_from = facts, version
            return self._content

    def _of_whom(self) -> Mapping[str, str] | None:
        """image -> patient, of the images that are ranked by patients."""
        terms = read_terms(self._store) if self._project.settings.per_patient else None
        if terms is None or terms.patients is None:
            return None
        return dict(zip(terms.images, terms.patients, strict=True))

    def _made(self, facts: PoolSnapshot) -> MapContent:
        assert self._layout is not None
        asked = facts.entropies, facts.qualities
        made_from = facts.images, self._layout.key, self._clusters, asked, self._patients
        if self._fixed is None or self._fixed[0] != made_from:
            images = images_of(facts.images, self._layout)
            sites = sites_of(images, self._studies, self._project.settings.source)
            qualities = {image: fmean(values.values()) for image, values in facts.qualities.items()}
            found = colours(images, self._clusters, sites, {ENTROPY: facts.entropies, QUALITY: qualities})
            self._fixed = made_from, fixed_part(name_of(self._studies), images, self._layout, found, self._patients)
        order = in_label_order(facts.labelled, facts.files, self._project.archive)
        state = PoolState(tuple(order), dict(facts.leased), facts.skipped, facts.failed, facts.ranking)
        return MapContent(self._fixed[1], changing_part(self._fixed[1], state))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
