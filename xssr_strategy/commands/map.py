"""``xssr map``: every image of a pool as a dot, in one page that opens without a network."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from rich.console import Console

from xssr_strategy.commands.outputs import check_not_an_image, check_outputs, writing
from xssr_strategy.commands.pool_options import (
    add_options,
    add_patient_options,
    check_patient_options,
    settings_from_arguments,
    waiting_images,
)
from xssr_strategy.commands.progress import StageProgress
from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.errors import UserError
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.pool import cold_start_plan, pipeline
from xssr_strategy.pool.opened import open_command_pool, open_leases
from xssr_strategy.pool.patients import patients_of
from xssr_strategy.pool.ranking import rank
from xssr_strategy.pool.studies import Studies, open_studies
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.pool_map import layout, pictures
from xssr_strategy.pool_map.colours import CHOICES, DICE, ENTROPY, QUALITY, STATE, colours
from xssr_strategy.pool_map.content import MapContent, changing_part, fixed_part, images_of
from xssr_strategy.pool_map.label_order import in_label_order
from xssr_strategy.pool_map.page import offline_page
from xssr_strategy.pool_map.paper import check_picture, draw_map
from xssr_strategy.pool_map.sites import name_of, sites_of
from xssr_strategy.pool_map.states import PoolState
from xssr_strategy.pool_map.tables import read_dice, read_sites
from xssr_strategy.segmentation.score_stores import QualityStore, UncertaintyStore
from xssr_strategy.settings import Settings

LAYING_OUT = "laying out"
PICTURES = "thumbnails"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("map", help="draw every image as a dot: where the picks lie, what is labelled")
    add_options(parser)
    parser.add_argument("--out", type=Path, default=Path("map.html"), help="page to write (default map.html)")
    parser.add_argument("--png", type=Path, help="the same as a picture for papers, 300 dots per inch")
    parser.add_argument("--colour", choices=CHOICES, default=STATE, help="what the dots are coloured by at first")
    parser.add_argument("--sites", type=Path, help="CSV file: image,site (default: sites.csv in the studies folder)")
    add_patient_options(parser)
    parser.add_argument("--dice", type=Path, help="CSV file: image or case, and dice; as cases.csv of xssr simulate")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Embed what is new, rank, lay out, and write the page."""
    settings = settings_from_arguments(arguments)
    if arguments.png is not None:
        check_picture(arguments.png)
    outputs = {"--out": arguments.out, "--png": arguments.png}
    check_not_an_image(outputs, arguments.studies, settings.source)
    check_outputs(outputs, {"--sites": arguments.sites, "--dice": arguments.dice, "--patients": arguments.patients})
    check_patient_options(arguments, settings)
    studies = open_studies(arguments.studies, settings)
    sites = None if arguments.sites is None else read_sites(arguments.sites, studies.images)
    if arguments.colour == DICE and arguments.dice is None:
        raise UserError("--colour dice: needs --dice FILE, a CSV file with the columns image (or case) and dice.")
    dice = {} if arguments.dice is None else read_dice(arguments.dice, studies.images)
    with StageProgress(console) as progress:
        content, shown = _content(arguments, studies, settings, sites, dice, progress)
    console.print(content.changing["summary"], highlight=False)
    found = {one["key"] for one in content.fixed["colours"]} | {STATE}
    if arguments.colour not in found:
        raise UserError(f"--colour {arguments.colour}: there is no data for it; choose {' or '.join(sorted(found))}.")
    with writing("--out", arguments.out):
        arguments.out.write_text(offline_page(content, shown, arguments.colour), encoding="utf-8")
    console.print(f"Map written to {arguments.out}", highlight=False, markup=False, soft_wrap=True)
    if arguments.png is not None:
        draw_map(arguments.png, content, arguments.colour)
        console.print(f"Picture written to {arguments.png}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _content(
    arguments: argparse.Namespace,
    studies: Studies,
    settings: Settings,
    told: Mapping[str, str] | None,
    dice: Mapping[str, float],
    progress: StageProgress,
) -> tuple[MapContent, list[bytes | None]]:
    """The map, and the picture of each of its images."""
    name: str = arguments.studies
    leases = open_leases(name, settings)
    pool = waiting_images(studies.images, leases)
    if not pool:
        raise UserError(f"--studies {name}: all images are skipped; put some back with xssr pool --back.")
    patients = patients_of(studies, studies.images, arguments.patients) if arguments.per_patient else None
    opened = open_command_pool(studies, pool, settings, leases)
    workspace, store, preset = opened.workspace, opened.store, opened.preset
    unfetched = opened.fetch(progress)
    checkpoint, _ = pipeline.prepare(pool, settings, preset, workspace, store, progress)
    labelled = in_label_order(studies.labelled.keys() & pool.keys(), studies.labelled, studies.archive)
    ranking = rank(checkpoint.id, pool, labelled, settings, store, patients=patients)
    progress(LAYING_OUT, 0, 1)
    plan = cold_start_plan.update(checkpoint.id, pool, settings, store)
    places = layout.update(store, checkpoint.id, studies.images, settings, plan)
    progress(LAYING_OUT, 1, 1)
    thumbnails = ThumbnailStore(workspace.thumbnails)
    show = partial(progress, PICTURES)
    pictures.complete(studies.images, opened.source_images(), preset, checkpoint.id, store, thumbnails, show)

    images = images_of(studies.images, places)
    sites = sites_of(images, name, settings.source, told)
    found = colours(images, {} if plan is None else plan.cluster, sites, {**_asked(workspace), DICE: dice})
    fixed = fixed_part(name_of(name), images, places, found, patients)
    failed = {image: why for image, (_, why) in store.failures(TARGET).items() if image in pool}
    out = {} if leases is None else {image: lease.ends for image, lease in leases.out().items()}
    skipped = {} if leases is None else leases.skipped()
    state = PoolState(tuple(labelled), out, skipped, {**failed, **unfetched}, ranking)
    known = {domain: thumbnails.pictures(domain) for domain in (SOURCE, TARGET)}
    return MapContent(fixed, changing_part(fixed, state)), [known[domain].get(image) for domain, image in images]


def _asked(workspace: Workspace) -> dict[str, dict[str, float]]:
    """What the model that a server asked last says of each image, as :func:`colours` wants it; nothing without one."""
    found: dict[str, dict[str, float]] = {}
    if workspace.uncertainty.exists():
        found[ENTROPY] = UncertaintyStore(workspace.uncertainty).values_of_asked()
    if workspace.qualities.exists():
        found[QUALITY] = QualityStore(workspace.qualities).means()
    return found
