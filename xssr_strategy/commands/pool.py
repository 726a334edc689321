"""``xssr pool``: what is labelled, out with annotators, skipped or unreadable, and how to put it back."""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.pool.leases import Leases
from xssr_strategy.pool.studies import EMPTY_LABEL, Studies, open_studies, resolve_source
from xssr_strategy.pool.workspace import Workspace, server_workspace
from xssr_strategy.segmentation.model_scores import PublishedModel
from xssr_strategy.segmentation.score_stores import QualityStore
from xssr_strategy.settings import parse_settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("pool", help="list labelled, leased, skipped and failed images; put them back")
    parser.add_argument("--studies", required=True, help="studies folder or DICOMweb URL of a server")
    parser.add_argument("--skip", metavar="IMAGE", nargs="+", default=[], help="ids to leave out from now on")
    parser.add_argument("--reason", default="", help="why they are left out, such as 'motion'")
    parser.add_argument(
        "--back", metavar="IMAGE", nargs="+", default=[], help="ids of leased, skipped or failed images to put back"
    )
    parser.add_argument(
        "--quality", action="store_true", help="also list the waiting images whose masks are judged, the worst first"
    )
    parser.add_argument("--source", help="as the server's, if it is in the same archive: its series are not listed")
    parser.add_argument("--workspace", help="where the server keeps its vectors (default: .xssr in the studies folder)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Do what is asked, then list."""
    conf = {name: value for name in ("source", "workspace") if (value := getattr(arguments, name)) is not None}
    settings = resolve_source(parse_settings(conf, prefix="--"), arguments.studies)
    workspace = server_workspace(arguments.studies, settings)
    studies = open_studies(arguments.studies, settings)
    if not workspace.store.exists():
        raise UserError(
            f"{workspace.root}: no server has worked on these studies yet; start one with xssr serve, "
            "or name its workspace with --workspace."
        )
    store, leases = EmbeddingStore(workspace.store), Leases(workspace.leases)
    _check(arguments, studies, store, leases)
    labelled = _change(arguments, studies, store, leases)
    if arguments.skip or arguments.back:
        console.print(f"{len(arguments.skip)} skipped, {len(arguments.back)} put back.", highlight=False)
    rows = _rows(replace(studies, labelled=labelled), store, leases)
    waiting = studies.images.keys() - {image for image, _, _ in rows}
    judged = _judged(waiting, workspace) if arguments.quality else []
    rows += judged
    table = Table(title=f"Pool of {len(studies.images)} images", title_justify="left")
    for column in ("image", "state", "why"):
        table.add_column(column, overflow="fold")
    for image, state, why in rows:
        table.add_row(escape(image), state, escape(why))
    if rows:
        console.print(table)
    console.print(f"{len(waiting)} of {len(studies.images)} images are waiting.", highlight=False)
    if arguments.quality and not judged:
        console.print("No mask of a waiting image is judged yet; run xssr review, or ask a server for review.")
    return 0


def _check(arguments: argparse.Namespace, studies: Studies, store: EmbeddingStore, leases: Leases) -> None:
    """Refuse what cannot be skipped or put back, before anything is changed.

    Raises:
        UserError: there is such an image, or no reason.
    """
    if arguments.skip and not arguments.reason.strip():
        raise UserError("--skip needs --reason TEXT: the next person will ask why the image was left out.")
    for image in arguments.skip:
        if image not in studies.images:
            raise UserError(f"--skip {image}: no image of {arguments.studies} has this id; nothing was changed.")
    skipped = leases.skipped()
    returnable = {*leases.out(), *skipped, *store.failures(TARGET)}
    for image in arguments.back:
        label = studies.labelled.get(image)
        if label == EMPTY_LABEL:
            continue
        if label is not None and image not in skipped:
            raise UserError(f"--back {image}: it is labelled; to have it annotated again delete {label}.")
        if image not in returnable:
            raise UserError(f"--back {image}: it is not leased, skipped or failed; nothing was changed.")


def _change(
    arguments: argparse.Namespace, studies: Studies, store: EmbeddingStore, leases: Leases
) -> Mapping[str, str]:
    """Skip and put back; what is labelled afterwards."""
    labelled = studies.labelled
    if studies.archive is not None:
        for image in arguments.back:
            studies.archive.labels.forget_empty(image)
        labelled = {image: where for image, where in labelled.items() if image not in arguments.back}
    for image in arguments.skip:
        leases.skip(image, "xssr pool", arguments.reason.strip())
    leases.end(arguments.back)
    leases.restore(arguments.back)
    store.forget_failures(TARGET, arguments.back)
    return labelled


def _rows(studies: Studies, store: EmbeddingStore, leases: Leases) -> list[tuple[str, str, str]]:
    """(image, state, why) of every image that does not wait."""
    images, labelled = studies.images, studies.labelled
    failed = {image: reason for image, (_, reason) in store.failures(TARGET).items()}
    rows = [(image, "labelled", where) for image, where in labelled.items()]
    rows += [(image, "skipped", reason) for image, reason in leases.skipped().items() if image in images]
    rows += [(image, "failed", reason) for image, reason in failed.items() if image in images]
    for image, lease in leases.out().items():
        if image in images and image not in labelled:
            until = time.strftime("%Y-%m-%d %H:%M", time.localtime(lease.ends))
            rows.append((image, "leased", f"to {lease.client or 'a viewer that gave no name'} until {until}"))
    return rows


def _judged(waiting: Collection[str], workspace: Workspace) -> list[tuple[str, str, str]]:
    """(image, "waiting", quality) of every waiting image whose mask is judged, the lowest quality first."""
    if not workspace.qualities.exists():
        return []
    store = QualityStore(workspace.qualities)
    former = "" if store.asked() == PublishedModel(workspace.segmentation)() else ", by a former network"
    judged = sorted((quality, image) for image, quality in store.means().items() if image in waiting)
    return [(image, "waiting", f"quality of its mask {quality:.2f}{former}") for quality, image in judged]
