"""What the tasks of one server share: settings, workspace, store, and the state of the work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from monailabel.interfaces.datastore import Datastore
from numpy.typing import NDArray

from xssr_strategy.datastores.image_sets import images_of, labelled_of
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.embedding.pool import failure_state, outstanding
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddedImages
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.cold_start_plan import ColdStartPlan, holds, plan_mark, read_plan
from xssr_strategy.pool.encoder_training import Progress
from xssr_strategy.pool.opened import open_server_pool
from xssr_strategy.pool.patients import check_table, known_patients, patients_mark
from xssr_strategy.pool.ranking import Ranking, follows, ranking_key, ranking_mark, read_ranking, standardised_vectors
from xssr_strategy.segmentation.model_scores import ModelScores, PublishedModel
from xssr_strategy.segmentation.plan import check_plan
from xssr_strategy.segmentation.score_stores import QualityStore, UncertaintyStore
from xssr_strategy.selection.catalogue import MODEL_BASED, REVIEW
from xssr_strategy.settings import parse_settings
from xssr_strategy.storage.atomic_files import remove_leftovers
from xssr_strategy.tasks.pool_sets import NO_SETS, OpenImages, PoolSets
from xssr_strategy.tasks.startup import startup_errors
from xssr_strategy.tasks.work_state import State

WAITING = "waiting"
READY = "ready"

_PROGRESS = "progress"
_ERROR = "error"
_NOT_FETCHED = "not fetched"

Vectors = tuple[list[str], NDArray[np.float64], NDArray[np.float64] | None]


class Project:
    """One studies folder or archive with its settings.

    Args:
        studies: folder, or DICOMweb URL.
        conf: the ``--conf`` keys.

    Attributes:
        settings: of the server.
        workspace: where its files are.
        opened: the pool with all of these.
        archive: the pool, if it is in an archive.
        store, leases: vectors; who has which image.
        uncertainty, qualities: entropies and mask qualities by the segmentation model.
        preset: kind of image.
        source_labels: the labelled images of the source.

    Raises:
        StartupError: an unknown key, a bad value, or no image; one sentence that says what is allowed.
    """

    def __init__(self, studies: str, conf: Mapping[str, str]) -> None:
        with startup_errors():
            opened = open_server_pool(studies, parse_settings(conf))
            assert opened.leases is not None
            self.opened = opened
            self.settings, self.workspace, self.store = opened.settings, opened.workspace, opened.store
            self.archive, self.leases, self.preset = opened.archive, opened.leases, opened.preset
            self.source_labels = opened.source_labels()
            check_table(self.settings.patients, opened.studies.images)
            files, asked = self.workspace, self.settings.viewer_strategy
            labels = self.settings.labels
            model = PublishedModel(files.segmentation, lambda plan: check_plan(plan, self.preset, labels))
            self.uncertainty = ModelScores(UncertaintyStore(files.uncertainty), model, asked in MODEL_BASED)
            self.qualities = ModelScores(QualityStore(files.qualities), model, asked == REVIEW)
            remove_leftovers(files.models)
        self._seen: tuple[int, int] | None = None
        self._ranking: Ranking | None = None
        self._known = EmbeddedImages(self.store, TARGET)
        self._read: tuple[str | None, str, str] | None = None
        self._embedded = NO_SETS.embedded
        self._failed: dict[str, str] = {}
        self._unread: dict[str, str] = {}  # state of the file of each of these
        self._pool = (frozenset[str](), self.leases.skipped(), self._embedded, self._failed), NO_SETS
        self._held: PoolSets | None = None  # by which the clusters are known to serve
        self._valid: tuple[frozenset[str], Ranking, tuple[int, str], tuple[str, int], bool] | None = None
        self._plan: ColdStartPlan | None = None
        self._vectors: tuple[tuple[str, tuple[int, str]], Vectors] | None = None

    def pool(self, datastore: Datastore) -> dict[str, Path]:
        """id -> path of every image of the datastore that is not skipped, sorted; a series may not be there yet."""
        return {image: self._path(image, datastore) for image in sorted(self._sets(datastore).images)}

    def fetch(self, progress: Progress) -> None:
        """Bring the series of the archive here, if the pool is in one; those that it cannot give are set aside.

        Raises:
            UserError: the archive does not answer; what was fetched stays.
        """
        for uid, reason in self.opened.fetch(progress).items():
            self.store.set_aside(TARGET, uid, failure_state(self.preset, _NOT_FETCHED), reason)

    def expect(self, image: str) -> None:
        """This image is likely to be asked about next: a look at the archive can begin."""
        if self.archive is not None:
            self.archive.look_ahead(image)

    def still_waits(self, image: str, datastore: Datastore) -> bool:
        """Whether an image may still be annotated, by a look at the archive or the folder itself."""
        if self.archive is not None:
            return self.archive.still_waits(image)
        return not (isinstance(datastore, StudiesDatastore) and datastore.is_labelled_on_disk(image))

    def waiting(self, datastore: Datastore) -> OpenImages:
        """Images without a final label that can be read and are not skipped; some may be with annotators."""
        closed = labelled_of(datastore) | self.failed.keys() | self.leases.skipped().keys()
        return OpenImages(images_of(datastore), closed)

    @property
    def ranking(self) -> Ranking | None:
        """The worklist of the present encoder, or None while there is none."""
        self._look()
        return self._ranking

    @property
    def cold_start(self) -> ColdStartPlan | None:
        """The clusters of the pool with the present encoder, or None while there are none."""
        self._look()
        return self._plan

    def vectors(self) -> Vectors:
        """The embedded images, sorted, their standardised vectors (N, D), and those of the source (M, D), if any.

        They are kept until a vector changes.
        """
        mark = self.store.vectors_mark()  # before the look: what is written after it is found the next time
        self._look()
        encoder = self.encoder
        if encoder is None:
            return [], np.empty((0, 0)), None
        now = encoder, mark
        if self._vectors is None or self._vectors[0] != now:
            self._vectors = now, standardised_vectors(encoder, self._embedded, self.store)
        return self._vectors[1]

    def unlabelled(self, datastore: Datastore) -> frozenset[str]:
        """Images with a vector that have no final label and are not skipped."""
        return self._sets(datastore).embedded - labelled_of(datastore)

    @property
    def embedded(self) -> frozenset[str]:
        """Images with a vector of the present encoder."""
        self._look()
        return self._embedded

    @property
    def failed(self) -> Mapping[str, str]:
        """image -> reason of every image set aside."""
        self._look()
        return self._failed

    @property
    def encoder(self) -> str | None:
        """Id of the encoder that the vectors were made with, or None before its training has ended."""
        return self._encoder()[0]

    def report_progress(self, stage: str, done: int, total: int) -> None:
        """Make the stage of this process's work known to the server."""
        self.store.note(_PROGRESS, [os.getpid(), psutil.Process().create_time(), stage, done, total])

    def report_end(self, error: str = "") -> None:
        """Make known that this process's work has ended, and the sentence that says why it could not, if so."""
        if self.store.read_note(_ERROR) != error:
            self.store.note(_ERROR, error)
        note = self.store.read_note(_PROGRESS)
        if note is not None and note[0] == os.getpid():
            self.store.note(_PROGRESS, None)

    def state(self, datastore: Datastore) -> State:
        """How far the work is."""
        sets = self._sets(datastore)
        stage, progress = self._running()
        if stage is None:
            stage = READY if sets.whole and self._ranking_is_valid(sets.images) else WAITING
        error = self.store.read_note(_ERROR) or ""
        skipped = len(images_of(datastore)) - len(sets.images)
        leased = sum(image in sets.images for image in self.leases.out())
        counts = len(sets.embedded), len(sets.images), len(sets.failed), skipped, leased
        return State(stage, *counts, self.encoder, progress, error)

    def scoring_is_due(self, datastore: Datastore, look_at_files: bool = False) -> bool:
        """Whether a scoring run would find something to do.

        Args:
            look_at_files: also notice readable images that were replaced on disk (one ``stat`` per image);
                images that could not be read are looked at in any case, for they may have been half copied.
        """
        sets = self._sets(datastore)
        encoder, retrained = self._encoder()
        if encoder is None or retrained or not sets.whole:
            return True
        ranking, plan = self._ranking, self._plan
        if ranking is None or plan is None or not self._ranking_is_valid(sets.images):
            return True
        if not follows(ranking, sets.embedded, labelled_of(datastore)):
            return True
        if self._held is not sets and not holds(plan, encoder, str(self.settings.budget), sets.embedded):
            return True
        self._held = sets
        if not look_at_files:  # after each click, so the store is not read
            return any(self._is_another_file(image, datastore) for image in sets.failed)
        files = {image: self._path(image, datastore) for image in sets.images}
        todo, present = outstanding(files, TARGET, encoder, self.preset, self.store)
        if todo or present.keys() != files.keys():
            return True  # some are new, or the archive did not give them
        new, _ = outstanding(self.opened.source_images(), SOURCE, encoder, self.preset, self.store)
        return bool(new)

    def _is_another_file(self, image: str, datastore: Datastore) -> bool:
        """Whether an image that could not be read is another file now."""
        with suppress(UserError):  # deleted
            return failure_state(self.preset, fingerprint(self._path(image, datastore))) != self._unread[image]
        return False

    def _path(self, image: str, datastore: Datastore) -> Path:
        return Path(datastore.get_image_uri(image)) if self.archive is None else self.archive.cache.folder(image)

    def _sets(self, datastore: Datastore) -> PoolSets:
        """The pool as it is now; the same object as long as nothing of it changes."""
        self._look()
        now = images_of(datastore), self.leases.skipped(), self._embedded, self._failed
        made_of, sets = self._pool
        if any(one is not other for one, other in zip(now, made_of, strict=True)):
            sets = PoolSets.of(now[0], now[1].keys(), now[2], now[3].keys())
            self._pool = now, sets
        return sets

    def _look(self) -> None:
        """Read again what another process has written since the last look."""
        version = self.store.version()
        if version == self._seen:
            return
        encoder = self.encoder
        self._embedded = NO_SETS.embedded if encoder is None else self._known.of(encoder)
        of_preset = failure_state(self.preset, "")
        failures = {image: one for image, one in self.store.failures(TARGET).items() if one[0].startswith(of_preset)}
        self._unread = {image: state for image, (state, _) in failures.items()}
        failed = {image: reason for image, (_, reason) in failures.items()}
        if failed != self._failed:
            self._failed = failed
        marks = encoder, ranking_mark(self.store), plan_mark(self.store)
        if marks != self._read:
            ranking, plan = read_ranking(self.store), read_plan(self.store)
            self._ranking = ranking if ranking is not None and ranking.encoder == encoder else None
            self._plan = plan if plan is not None and plan.encoder == encoder else None
            self._read, self._held = marks, None
        self._seen = version

    def _ranking_is_valid(self, images: frozenset[str]) -> bool:
        """Whether the ranking was made from the present vectors, images and rule."""
        ranking = self.ranking
        if ranking is None:
            return False
        now = images, ranking, self.store.vectors_mark(), patients_mark(self.store, self.settings)
        if self._valid is None or self._valid[0] is not images or self._valid[1:4] != now[1:]:
            try:
                patients = known_patients(images, self.settings, self.store)
            except UserError:  # which the scoring tells
                return False
            key = ranking_key(ranking.encoder, images, self.settings, self.store, patients)
            self._valid = (*now, key == ranking.key)
        return self._valid[-1]

    def _running(self) -> tuple[str | None, str]:
        """Stage and progress of the process that works on this project, or None."""
        note = self.store.read_note(_PROGRESS)
        if note is None:
            return None, ""
        pid, started, stage, done, total = note
        try:
            alive = abs(psutil.Process(pid).create_time() - started) < 1.0
        except psutil.Error:
            alive = False
        return (stage, f"{done}/{total}") if alive else (None, "")

    def _encoder(self) -> tuple[str | None, bool]:
        """Id of the encoder of the vectors, and whether its checkpoint has been replaced since."""
        path = self.workspace.encoder(self.settings, self.preset)
        note = self.store.read_note(pipeline.encoder_note(path))
        if note is None or not path.exists():
            return None, False
        return note["id"], path.stat().st_mtime_ns != note["written"]
