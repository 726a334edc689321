"""``xssr review``: the automatic masks of a pool, the ones most likely to be wrong first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean

from rich.console import Console

from xssr_strategy.archive.query import is_remote
from xssr_strategy.commands.judged_model import JudgedModel
from xssr_strategy.commands.outputs import check_not_an_image, check_outputs, make_folder, writing
from xssr_strategy.commands.pool_options import worker_count
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.commands.review_files import (
    JudgedMask,
    masks_of,
    note_of,
    page_of,
    task_list_of,
    write_page,
    write_table,
    write_tasks,
)
from xssr_strategy.commands.worklist_files import VIEWER, study_link
from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel.images import Workers
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.encoder_training import Progress
from xssr_strategy.pool.opened import open_leases
from xssr_strategy.pool.studies import Studies, open_studies, resolve_source
from xssr_strategy.pool.workspace import server_workspace
from xssr_strategy.segmentation.model_scores import ModelScores, PublishedModel
from xssr_strategy.segmentation.score_stores import ImageScore, QualityStore
from xssr_strategy.segmentation.workers import QualityFunction, scored_pool
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
    parser.add_argument(
        "--workers", type=worker_count, default=1, help="processes that judge, from 2 on of one thread each (default 1)"
    )
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
    folder = masks_of(out)
    check_not_an_image({**outputs, "the masks of --out": folder / "mask.png"}, arguments.studies, settings.source)
    if not is_remote(arguments.studies) and folder.resolve().is_relative_to(Path(arguments.studies).resolve()):
        raise UserError(f"--out {out}: its masks would lie in --studies; name a file elsewhere.")
    check_outputs(outputs, {})
    studies = open_studies(arguments.studies, settings)
    leases = open_leases(arguments.studies, settings)
    skipped = {} if leases is None else leases.skipped()
    waiting = {i: path for i, path in studies.images.items() if i not in studies.labelled and i not in skipped}
    with StageProgress(console) as progress:
        for image, why in studies.fetch(lambda done, total: progress(pipeline.FETCHING, done, total)).items():
            waiting.pop(image, None)
            say(console, f"set aside: {why}", style="yellow")
        scores = ModelScores(QualityStore(workspace.qualities), PublishedModel(workspace.segmentation), wanted=False)
        model, published = _published(scores, workspace.segmentation)
        make_folder("the masks of --out", folder)
        function = QualityFunction(workspace.segmentation, published, model.preset, model.plan.labels)
        qualities = _qualities(function, scores, waiting, Workers(arguments.workers), progress)
        with writing("--out", out):
            masks, gone = _judged(model, qualities, studies, arguments, progress)
    for why in gone:
        say(console, f"set aside: {why}", style="yellow")
    with writing("--out", out):
        write_table(out, masks, "qualities")
        write_page(page_of(out), "Automatic masks to review", _ADVICE, masks, model.plan.labels)
        write_tasks(task_list_of(out), out.stem, masks)
    say(console, f"{len(masks)} masks, {len(waiting) - len(masks)} images that cannot be read.")
    for one in masks[:5]:
        say(console, f"{one.scores['quality']:.2f} {one.image} {one.words}".rstrip())
    for file in (out, page_of(out), task_list_of(out)):
        say(console, f"Review written to {file}")
    return 0


_ADVICE = (
    "The quality tells, from 0 to 1, how far a mask looks like those that people drew and how sure the network is of "
    "it; look at the lowest first. An empty mask has quality 0, even where there is nothing to find. "
    "Correct a mask in the viewer and submit it: it then counts as a label and leaves this list."
)


def _published(scores: ModelScores[Mapping[str, float]], file: Path) -> tuple[JudgedModel, str]:
    """The model and its id, of one file even if another is published at this moment."""
    while True:
        before, model = scores.model, JudgedModel(file)
        if before is not None and before == scores.model:
            return model, before


def _qualities(
    function: QualityFunction,
    scores: ModelScores[Mapping[str, float]],
    images: Mapping[str, Path],
    workers: Workers,
    progress: Progress,
) -> dict[str, Mapping[str, float]]:
    """image -> quality of each label; what the server has found for the same network is taken.

    Raises:
        UserError: another network was published meanwhile.
    """
    todo, present = scores.outstanding(images)
    found, published = scored_pool(function, todo, workers), function.model
    done = 0
    while batch := list(islice(found, _BATCH)):
        if scores.model != published:
            raise UserError("--studies: another network was published meanwhile; run again to review its masks.")
        values = [(image, None if isinstance(value, UnreadableImage) else value) for image, value in batch]
        scores.store.put(published, [ImageScore(image, present[image], value) for image, value in values])
        done += len(batch)
        progress(JUDGING, done, len(todo))
    scores.store.forget_others(published)
    there = scores.store.values(published)
    return {image: there[image] for image, path in images.items() if image in there and path.exists()}


def _judged(
    model: JudgedModel,
    qualities: Mapping[str, Mapping[str, float]],
    studies: Studies,
    arguments: argparse.Namespace,
    progress: Progress,
) -> tuple[list[JudgedMask], list[str]]:
    """Every mask, the worst first, the first ones with a picture and a file; why an image could not be drawn."""
    folder: Path = masks_of(arguments.out)
    series = {} if studies.archive is None else studies.archive.series()
    order = sorted(qualities, key=lambda image: (fmean(qualities[image].values()), image))
    found: list[JudgedMask] = []
    gone: list[str] = []
    for image in order:
        path, by_label = studies.images[image], qualities[image]
        link = study_link(series[image], arguments.viewer) if image in series else ""
        one = JudgedMask(image, path, {"quality": fmean(by_label.values())}, by_label, link=link)
        if len(found) < arguments.shown:
            try:
                with memory_told(path):
                    pixels = model.read(path)
                    file, found_there = model.write(path, folder / image)
                    picture = model.picture(pixels, model.mask(pixels))
            except UserError as error:  # damaged or removed since it was judged, or too large to draw
                gone.append(str(error))
                continue
            note = note_of(found_there, model.plan.labels)
            one = replace(one, mask=file, note=note, picture=picture)
            progress(DRAWING, len(found) + 1, min(arguments.shown, len(order)))
        found.append(one)
    return found, gone
