"""Where the software keeps what it makes for one studies folder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from xssr_strategy.archive.query import is_remote, series_filter
from xssr_strategy.embedding.encoder import is_foundation, learns_from, short_name
from xssr_strategy.images.preset import Preset
from xssr_strategy.settings import Settings
from xssr_strategy.storage.database import data_home

FOLDER = ".xssr"


@dataclass(frozen=True)
class Workspace:
    """The files below ``root``; nothing is made before it is needed."""

    root: Path

    @property
    def store(self) -> Path:
        """The embedding store."""
        return self.root / "embeddings.sqlite"

    @property
    def leases(self) -> Path:
        """Who annotates which image, and which are skipped."""
        return self.root / "leases.sqlite"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of the images, for the map."""
        return self.root / "thumbnails.sqlite"

    @property
    def uncertainty(self) -> Path:
        """How unsure each segmentation model was of each image."""
        return self.root / "uncertainty.sqlite"

    @property
    def qualities(self) -> Path:
        """How good the masks of each segmentation model are."""
        return self.root / "quality.sqlite"

    @property
    def segmentation(self) -> Path:
        """The published segmentation model."""
        return self.models / "segmentation.pt"

    @property
    def pictures(self) -> Path:
        """Links to 2-D images under names that viewers do not take for slices of a stack."""
        return self.root / "pictures"

    @property
    def lock(self) -> Path:
        """Held by the one process that trains the encoder and embeds."""
        return self.root / "scoring.lock"

    @property
    def models(self) -> Path:
        """Networks."""
        return self.root / "model"

    def encoder(self, settings: Settings, preset: Preset) -> Path:
        """The encoder checkpoint of these settings; other settings have another file, so none is overwritten."""
        seen = replace(preset, segmentation_size=0, segmentation_roi=0)  # no business of the encoder
        name = settings.encoder
        asked: tuple[object, ...] = (name, settings.encoder_steps, settings.seed, seen, str(settings.source))
        if "labels" in learns_from(name):
            asked = (*asked, str(settings.source_labels), settings.labels)
        of_pool = settings.patients is not None and settings.source is None
        if of_pool and "scans" in learns_from(name) and preset.spatial_dims == 2:
            asked = (*asked, str(settings.patients))
        if is_foundation(name):
            told = settings.encoder_options
            asked = (name, str(told.weights), told.slices, told.pooling, seen)
        return self.models / f"encoder-{short_name(name)}-{preset.name}-{_digest(repr(asked))}.safetensors"


def server_workspace(studies: str | Path, settings: Settings) -> Workspace:
    """The workspace of a server: ``--conf workspace``, or ``.xssr`` in the studies folder.

    An archive's is in the user's data folder, the same for whoever names its URL and the same series.
    """
    if settings.workspace:
        return Workspace(settings.workspace)
    if is_remote(str(studies)):
        pool = f"{str(studies).rstrip('/')} {sorted(series_filter().items())}"
        return Workspace(data_home() / f"archive-{_digest(pool)}")
    return Workspace(Path(studies) / FOLDER)


def command_workspace(studies: str | Path, settings: Settings, learned_from: str) -> Workspace:
    """The workspace of a command that leaves the studies folder as it is.

    A server's workspace is shared where there is one. Otherwise the user's cache folder serves, with
    a place for each set of images that an encoder learns from: the same input gives the same picks.

    Args:
        learned_from: digest of these images.
    """
    if settings.workspace or is_remote(str(studies)) or (Path(studies) / FOLDER).is_dir():
        return server_workspace(studies, settings)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(studies)
    return Workspace(cache / "xssr" / f"{folder.name}-{_digest(f'{folder.resolve()} {learned_from}')}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
