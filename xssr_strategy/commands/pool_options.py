"""What the commands that rank a pool without a server have in common: their options, and which images they rank."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from xssr_strategy.embedding.catalogue import encoder_names
from xssr_strategy.embedding.encoder import learns_from
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.pool.leases import Leases
from xssr_strategy.pool.studies import resolve_source
from xssr_strategy.settings import Settings, parse_settings

_OPTIONS: Mapping[str, str] = {
    "source": "folder of unlabelled images of the domain you know",
    "source_labels": "labels of the source, from which poly_cl_organ and poly_cl_mixed learn",
    "labels": "names of those labels: liver,tumour",
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
    "workspace": "where vectors and encoder are kept (default: .xssr of the studies, or else the user's cache)",
}


def add_options(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """``--studies`` and the settings that decide a ranking, without some of these."""
    parser.add_argument("--studies", required=True, help="folder of target images, or DICOMweb URL")
    for name, meaning in _OPTIONS.items():
        if name not in without:
            parser.add_argument(f"--{name.replace('_', '-')}", help=meaning)


def add_patient_options(parser: argparse.ArgumentParser) -> None:
    """``--per-patient`` and ``--patients``."""
    parser.add_argument("--per-patient", action="store_true", help="no second image of a patient before all have one")
    parser.add_argument(
        "--patients",
        type=Path,
        help="CSV file: image,patient, for --per-patient and poly_cl (default: PatientID, BIDS' sub-)",
    )


def check_patient_options(arguments: argparse.Namespace, settings: Settings) -> None:
    """Refuse a table of patients that nobody would read.

    Raises:
        UserError: ``--patients`` without ``--per-patient``, and the encoder does not learn from it.
    """
    if arguments.patients is not None and not (arguments.per_patient or "scans" in learns_from(settings.encoder)):
        raise UserError(
            f"--patients {arguments.patients}: is read for --per-patient and --encoder poly_cl alone; add one of them, "
            "or leave it out."
        )


def settings_from_arguments(arguments: argparse.Namespace) -> Settings:
    """The settings that the command line names.

    Raises:
        UserError: a bad value.
    """
    conf = {name: value for name in _OPTIONS if (value := getattr(arguments, name, None)) is not None}
    settings = resolve_source(parse_settings(conf, prefix="--"), arguments.studies)
    table: Path | None = getattr(arguments, "patients", None)
    return settings if table is None else replace(settings, patients=table.resolve())


def waiting_images(
    images: Mapping[str, Path], leases: Leases | None, excluded: Collection[str] = ()
) -> dict[str, Path]:
    """The pool: what is neither skipped nor excluded."""
    left_out = {*excluded, *({} if leases is None else leases.skipped())}
    return {image: path for image, path in images.items() if image not in left_out}


def worker_count(text: str) -> int:
    """A number of processes, for argparse."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1024:
        return int(text)
    raise argparse.ArgumentTypeError("must be a whole number from 1 to 1024")
