"""``xssr review``: the automatic masks of a pool, the ones most likely to be wrong first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean

from rich.console import Console

from xssr_strategy.commands.judged_model import JudgedModel
from xssr_strategy.commands.outputs import check_not_an_image, check_outputs, writing
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.commands.review_files import (
    JudgedMask,
    masks_of,
    page_of,
    task_list_of,
    write_page,
    write_table,
    write_tasks,
)
from xssr_strategy.commands.worklist_files import VIEWER, study_link
from xssr_strategy.errors import UserError
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.opened import open_leases
from xssr_strategy.pool.studies import Studies, open_studies, resolve_source
from xssr_strategy.pool.workspace import Workspace, server_workspace
from xssr_strategy.segmentation.model_scores import ModelScores, PublishedModel
from xssr_strategy.segmentation.score_stores import ImageScore, QualityStore
from xssr_strategy.settings import parse_settings

_SHOWN = 50  # masks on the page, by default
_BATCH = 16  # qualities written at a time
JUDGING, DRAWING = "judging masks", "drawing masks"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("review", help="list the automatic masks that are most likely wrong")
    parser.add_argument("--studies", required=True, help="studies folder or DICOMweb URL of a server")
    parser.add_argument("--out", type=Path, default=Path("review.csv"), help="CSV file to write (default review.csv)")
    parser.add_argument(
        "--shown", type=int, default=_SHOWN, help=f"masks on the page, and written as files (default {_SHOWN})"
    )
    parser.add_argument("--viewer", default=VIEWER, help=f"server that an archive's links open (default {VIEWER})")
    parser.add_argument("--source", help="as the server's, if it is in the same archive: its series are not listed")
    parser.add_argument("--workspace", help="where the server keeps its networks (default: .xssr in the folder)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Judge what is not judged yet, and write the queue."""
    if arguments.shown < 1:
        raise UserError(f"--shown {arguments.shown}: must be 1 or more.")
    conf = {name: value for name in ("source", "workspace") if (value := getattr(arguments, name)) is not None}
    settings = resolve_source(parse_settings(conf, prefix="--"), arguments.studies)
    workspace = server_workspace(arguments.studies, settings)
    if not workspace.segmentation.exists():
        raise UserError(
            f"{workspace.segmentation}: no network is trained on these studies yet; train one from a viewer, or name "
            "the server's workspace with --workspace."
        )
    out: Path = arguments.out
    outputs = {"--out": out, "the page of --out": page_of(out), "the task list of --out": task_list_of(out)}
    check_not_an_image(outputs, arguments.studies, settings.source)
    check_outputs(outputs, {})
    studies = open_studies(arguments.studies, settings)
    leases = open_leases(arguments.studies, settings)
    skipped = {} if leases is None else leases.skipped()
    waiting = {i: path for i, path in studies.images.items() if i not in studies.labelled and i not in skipped}
    model = JudgedModel(workspace.segmentation)
    with StageProgress(console) as progress:
        for why in studies.fetch(lambda done, total: progress(pipeline.FETCHING, done, total)).values():
            say(console, f"set aside: {why}", style="yellow")
        qualities = _qualities(model, waiting, workspace, progress)
        with writing("--out", out):
            masks = _judged(model, qualities, studies, arguments, progress)
    with writing("--out", out):
        write_table(out, masks)
        write_page(page_of(out), "Automatic masks to review", _ADVICE, masks)
        write_tasks(task_list_of(out), out.stem, masks)
    say(console, f"{len(masks)} masks, {len(waiting) - len(masks)} images that cannot be read.")
    for one in masks[:5]:
        say(console, f"{one.scores['quality']:.2f} {one.image} {one.words}".rstrip())
    for file in (out, page_of(out), task_list_of(out)):
        say(console, f"Review written to {file}")
    return 0


_ADVICE = (
    "The quality tells how far a mask looks like those that people drew, from 0 to 1; look at the lowest first. "
    "Correct a mask in the viewer and submit it: it then counts as a label and leaves this list."
)


def _qualities(
    model: JudgedModel, images: Mapping[str, Path], workspace: Workspace, progress: pipeline.Progress
) -> dict[str, tuple[float, ...]]:
    """image -> quality of each label; what the server has found for the same network is taken."""
    scores = ModelScores(QualityStore(workspace.qualities), PublishedModel(workspace.segmentation), wanted=False)
    published = scores.model
    if published is None:
        return {}
    todo, present = scores.outstanding(images)
    found = model.qualities(todo)
    done = 0
    while batch := list(islice(found, _BATCH)):
        values = [(image, None if isinstance(value, UnreadableImage) else value) for image, value in batch]
        scores.store.put(published, [ImageScore(image, present[image], value) for image, value in values])
        done += len(batch)
        progress(JUDGING, done, len(todo))
    return {image: value for image, value in scores.store.values(published).items() if image in images}


def _judged(
    model: JudgedModel,
    qualities: Mapping[str, tuple[float, ...]],
    studies: Studies,
    arguments: argparse.Namespace,
    progress: pipeline.Progress,
) -> list[JudgedMask]:
    """Every mask, the worst first; the first ones with a picture and a file."""
    folder: Path = masks_of(arguments.out)
    folder.mkdir(exist_ok=True)
    series = {} if studies.archive is None else studies.archive.series()
    order = sorted(qualities, key=lambda image: (fmean(qualities[image]), image))
    found: list[JudgedMask] = []
    for place, image in enumerate(order):
        path, values = studies.images[image], qualities[image]
        by_label = dict(zip(model.plan.labels, values, strict=True))
        link = study_link(series[image], arguments.viewer) if image in series else ""
        one = JudgedMask(image, path, {"quality": fmean(values)}, by_label, link=link)
        if place < arguments.shown:
            pixels = model.read(path)
            mask = model.write(path, folder / image)
            one = replace(one, mask=mask, picture=model.picture(pixels, model.mask(pixels)))
            progress(DRAWING, place + 1, min(arguments.shown, len(order)))
        found.append(one)
    return found
