"""One pool, opened: its settings, images, workspace, vectors, leases and kind of image, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.archive.pool import ArchivePool
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.source import SourceLabels, read_source_labels
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.encoder_training import Progress, images_digest
from xssr_strategy.pool.leases import Leases
from xssr_strategy.pool.studies import Studies, open_studies, resolve_source
from xssr_strategy.pool.workspace import Workspace, command_workspace, server_workspace
from xssr_strategy.settings import Settings


@dataclass(frozen=True)
class OpenPool:
    """What there is to annotate, and where the software keeps what it knows of it.

    Attributes:
        settings: with the whole name of a source in the same archive.
        studies: images and labels as they were when the pool was opened.
        workspace: the files that the software makes.
        store: vectors, failures and the ranking.
        leases: who has which image, and which are skipped; None if no server has worked on these studies.
        preset: kind of image.
    """

    settings: Settings
    studies: Studies
    workspace: Workspace
    store: EmbeddingStore
    leases: Leases | None
    preset: Preset

    @property
    def archive(self) -> ArchivePool | None:
        """The archive that the images are in, or None for a folder."""
        return self.studies.archive

    def source_images(self) -> dict[str, Path]:
        """id -> path of the source's images; empty without a source.

        Raises:
            UserError: the source has none, or its archive does not answer.
        """
        return pipeline.source_images(self.settings, told=self.studies.told)

    def source_labels(self) -> SourceLabels:
        """The labelled images of the source, if its labels are named.

        Raises:
            UserError: they cannot be used.
        """
        folder = self.settings.source_labels
        return (
            SourceLabels() if folder is None else read_source_labels(folder, self.source_images(), self.settings.labels)
        )

    def fetch(self, progress: Progress) -> dict[str, str]:
        """Bring the series of an archive here; id -> reason of those that it cannot give. No vector is touched.

        Raises:
            UserError: the archive does not answer; what was fetched stays.
        """
        return self.studies.fetch(lambda done, total: progress(pipeline.FETCHING, done, total))


def open_server_pool(name: str, settings: Settings) -> OpenPool:
    """The pool of a server, whose workspace is beside the images.

    Args:
        name: studies folder, or URL of a DICOMweb service.
        settings: as they were asked for.

    Raises:
        UserError: no image is there, a file of the workspace cannot be opened, or the archive does not answer.
        OSError: the workspace cannot be written.
    """
    settings = resolve_source(settings, name)
    workspace = server_workspace(name, settings)
    studies = open_studies(name, settings)
    pipeline.source_images(settings, told=studies.told)  # one that cannot be used is told now, not in the background
    store = EmbeddingStore(workspace.store)
    leases = Leases(workspace.leases, settings.lease_minutes)
    return OpenPool(settings, studies, workspace, store, leases, _preset(studies, studies.images, settings, store))


def open_command_pool(
    studies: Studies, images: Mapping[str, Path], settings: Settings, leases: Leases | None = None
) -> OpenPool:
    """The pool of a command, which leaves the studies as they are.

    Args:
        studies: of :func:`open_studies`.
        images: id -> path of those that are ranked.
        settings: of :func:`resolve_source`.
        leases: of :func:`open_leases`.

    Raises:
        UserError: not one image can be read, or a file of the workspace cannot be opened.
    """
    learned_from = pipeline.source_images(settings, told=studies.told) or images
    workspace = command_workspace(studies.name, settings, images_digest(learned_from))
    store = EmbeddingStore(workspace.store)
    return OpenPool(settings, studies, workspace, store, leases, _preset(studies, images, settings, store))


def open_leases(name: str, settings: Settings) -> Leases | None:
    """Who has which image and which are skipped, if a server has worked on these studies."""
    file = server_workspace(name, settings).leases
    return Leases(file) if file.exists() else None


def _preset(studies: Studies, images: Mapping[str, Path], settings: Settings, store: EmbeddingStore) -> Preset:
    detected = None if studies.archive is None else studies.archive.preset_name()
    return pipeline.choose_preset(images, settings, store, detected)
