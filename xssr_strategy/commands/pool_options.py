"""What the commands that rank a pool without a server have in common: their options, and the images they are about."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.embedding.catalogue import encoder_names
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images.preset import PRESETS, Preset
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.leases import Leases
from xssr_strategy.pool.studies import Studies, resolve_source
from xssr_strategy.pool.workspace import Workspace, command_workspace, server_workspace
from xssr_strategy.settings import Settings, parse_settings

_OPTIONS: Mapping[str, str] = {
    "source": "folder of unlabelled images of the domain you know",
    "budget": "number of images, or a percentage of the pool (default 5%%)",
    "alpha": "auto, or 0 to 1",
    "combination": "product or sum",
    "encoder": f"what gives images vectors (default conv_mae): {', '.join(encoder_names())}",
    "encoder_steps": "optimisation steps of the encoder's training",
    "encoder_weights": "file of a foundation encoder's weights",
    "encoder_slices": "slices that a 2-D foundation encoder sees of a volume (default 9)",
    "encoder_pooling": "mean or max: how the vectors of the slices become one",
    "preset": f"auto, {', '.join(PRESETS)}",
    "seed": "of everything that draws random numbers (default 0)",
    "workspace": "where vectors and encoder are kept (default: the user's cache folder)",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--studies`` and the settings that decide a ranking."""
    parser.add_argument("--studies", required=True, help="folder of target images, or DICOMweb URL")
    for name, meaning in _OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=meaning)


def asked(arguments: argparse.Namespace) -> Settings:
    """The settings that the command line names.

    Raises:
        UserError: a bad value.
    """
    conf = {name: value for name in _OPTIONS if (value := getattr(arguments, name)) is not None}
    return resolve_source(parse_settings(conf, prefix="--"), arguments.studies)


def open_leases(studies: str, settings: Settings) -> Leases | None:
    """Who has which image and which are skipped, if a server has worked on these studies."""
    file = server_workspace(studies, settings).leases
    return Leases(file) if file.exists() else None


@dataclass(frozen=True)
class Place:
    """Where a command works.

    Attributes:
        workspace: with the vectors.
        store: these.
        preset: kind of image.
    """

    workspace: Workspace
    store: EmbeddingStore
    preset: Preset


def place_of(studies: Studies, pool: Mapping[str, Path], settings: Settings) -> Place:
    """The workspace of a command that leaves the studies as they are.

    Args:
        pool: id -> path of the images that are ranked.

    Raises:
        UserError: not one image can be read.
    """
    learned_from = pipeline.source_images(settings) or pool
    workspace = command_workspace(studies.name, settings, pipeline.images_digest(learned_from))
    store = EmbeddingStore(workspace.store)
    detected = None if studies.archive is None else studies.archive.preset_name()
    return Place(workspace, store, pipeline.choose_preset(pool, settings, store, detected))
