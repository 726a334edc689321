"""What the tasks of one server share: settings, workspace, store, and the state of the work."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from monailabel.interfaces.datastore import Datastore

from xssr_strategy.embedding.pool import outstanding
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import detect_preset, preset_by_name
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import Preset
from xssr_strategy.ranking import Ranking, is_current, read_ranking
from xssr_strategy.settings import Settings, parse_settings
from xssr_strategy.tasks.startup import StartupError
from xssr_strategy.worklist import encoder_note, source_images
from xssr_strategy.workspace import Workspace, beside

WAITING = "waiting"
READY = "ready"

_PRESET = "preset"
_PROGRESS = "progress"


@dataclass(frozen=True)
class State:
    """How far the work on the pool is, as ``/info/`` shows it.

    Attributes:
        state: ``waiting``, ``training encoder``, ``embedding`` or ``ready``.
        embedded: images of the pool that have a vector of the present encoder.
        pool: images in the datastore.
        failed: images set aside because they cannot be read.
        encoder: id of the encoder checkpoint, or None.
        progress: steps or images done of the stage that is running, as "done/total".
    """

    state: str
    embedded: int
    pool: int
    failed: int
    encoder: str | None
    progress: str


class Project:
    """One studies folder with its settings.

    Args:
        studies: folder, or DICOMweb URL.
        app_dir: the app's folder; holds the workspace of a remote archive.
        conf: the ``--conf`` keys.

    Raises:
        StartupError: an unknown key, a bad value, or no image; one sentence that says what is allowed.
    """

    def __init__(self, studies: str, app_dir: str, conf: Mapping[str, str]) -> None:
        try:
            self.settings: Settings = parse_settings(conf)
            remote = studies.startswith(("http://", "https://"))
            if remote:
                name = hashlib.sha256(studies.encode()).hexdigest()[:10]
                self.workspace = Workspace(self.settings.workspace or Path(app_dir) / "model" / name)
                if self.settings.preset == "auto":
                    raise UserError(f"--studies {studies}: add --conf preset ct (or mri, xray, fundus) for an archive.")
            else:
                self.workspace = beside(Path(studies), self.settings)
                images = find_images(Path(studies))
                if not images:
                    raise UserError(
                        f"--studies {studies}: no image is there; put images (NIfTI, NRRD, MHA, PNG, JPEG, TIFF, "
                        "DICOM) into that folder itself."
                    )
            source_images(self.settings)
            self.store = EmbeddingStore(self.workspace.store)
            self.preset: Preset = (
                preset_by_name(self.settings.preset) if self.settings.preset != "auto" else self._detected(images)
            )
        except UserError as error:
            raise StartupError(str(error)) from None
        self._seen: tuple[int, int] | None = None
        self._ranking: Ranking | None = None
        self._embedded: frozenset[str] = frozenset()
        self._failed: dict[str, str] = {}

    def pool(self, datastore: Datastore) -> dict[str, Path]:
        """id -> path of every image of the datastore, sorted by id."""
        return {image: Path(datastore.get_image_uri(image)) for image in sorted(datastore.list_images())}

    def labelled(self, datastore: Datastore) -> set[str]:
        """Images with a final label."""
        return set(datastore.list_images()) - set(datastore.get_unlabeled_images())

    @property
    def ranking(self) -> Ranking | None:
        """The worklist of the present encoder, or None while there is none."""
        self._look()
        return self._ranking

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

    def state(self, datastore: Datastore) -> State:
        """How far the work is."""
        images = set(datastore.list_images())
        embedded, failed = self.embedded & images, self._failed.keys() & images
        stage, progress = self._running()
        if stage is None:
            ranked = self._ranking is not None and embedded | failed == images
            stage = READY if ranked else WAITING
        return State(stage, len(embedded), len(images), len(failed), self.encoder, progress)

    def scoring_is_due(self, datastore: Datastore, look_at_files: bool = False) -> bool:
        """Whether a scoring run would find something to do.

        Args:
            look_at_files: also notice images that were replaced on disk (one ``stat`` per image).
        """
        images: Collection[str] = datastore.list_images()
        ranking = self.ranking
        encoder, retrained = self._encoder()
        if ranking is None or ranking.encoder != encoder or retrained:
            return True
        if not self.embedded | self._failed.keys() >= set(images):
            return True
        if not is_current(ranking, ranking.encoder, images, self.labelled(datastore), self.settings, self.store):
            return True
        if not look_at_files:
            return False
        todo, _ = outstanding(self.pool(datastore), TARGET, ranking.encoder, self.store)
        new, _ = outstanding(source_images(self.settings), SOURCE, ranking.encoder, self.store)
        return bool(todo or new)

    def _look(self) -> None:
        """Read again what another process has written since the last look."""
        version = self.store.version()
        if version == self._seen:
            return
        encoder = self.encoder
        ranking = read_ranking(self.store)
        self._ranking = ranking if ranking is not None and ranking.encoder == encoder else None
        self._embedded = frozenset() if encoder is None else frozenset(self.store.fingerprints(TARGET, encoder))
        self._failed = {image: reason for image, (_, reason) in self.store.failures(TARGET).items()}
        self._seen = version

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
        return (stage, f"{done}/{total}") if alive and stage != READY else (None, "")

    def _encoder(self) -> tuple[str | None, bool]:
        """Id of the encoder of the vectors, and whether its checkpoint has been replaced since."""
        path = self.workspace.encoder(self.settings, self.preset)
        note = self.store.read_note(encoder_note(path))
        if note is None or not path.exists():
            return None, False
        return note["id"], path.stat().st_mtime_ns != note["written"]

    def _detected(self, images: Mapping[str, Path]) -> Preset:
        """The preset of the first start, kept: images that arrive later must not change what was trained."""
        name = self.store.read_note(_PRESET)
        if name is None:
            name = detect_preset(list(images.values())).name
            self.store.note(_PRESET, name)
        return preset_by_name(name)


class Heartbeat:
    """Reports progress to the server at most once a second, and logs a line per tenth of a stage.

    A callable for the ``progress`` argument of ``worklist.update``.
    """

    def __init__(self, project: Project, log: Any) -> None:
        self._project = project
        self._log = log
        self._reported = 0.0
        self._logged: tuple[str, int] = ("", -1)

    def __call__(self, stage: str, done: int, total: int) -> None:
        tenth = (stage, 10 * done // max(1, total))
        now = time.monotonic()
        if tenth[0] != self._logged[0] or now - self._reported >= 1.0:
            self._project.report_progress(stage, done, total)
            self._reported = now
        if tenth != self._logged:
            self._log.info("%s: %d of %d", stage[0].upper() + stage[1:], done, total)
            self._logged = tenth
