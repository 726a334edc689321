"""``xssr select``: the worklist without a server."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xssr_strategy.archive.query import is_remote
from xssr_strategy.commands.outputs import check_not_an_image, check_outputs, writing
from xssr_strategy.commands.plot import check_plot, draw_selection
from xssr_strategy.commands.pool_options import (
    add_options,
    add_patient_options,
    check_patient_options,
    settings_from_arguments,
    waiting_images,
)
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.commands.worklist_files import VIEWER, page_of, task_list_of, write_worklist
from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.lists import read_ids
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.leases import Leases
from xssr_strategy.pool.opened import open_command_pool, open_leases
from xssr_strategy.pool.patients import patients_of, places_of_patients
from xssr_strategy.pool.ranking import Ranking, rank, reason, standardised_vectors
from xssr_strategy.pool.studies import Studies, open_studies
from xssr_strategy.settings import Settings

_COLUMNS = ("rank", "image", "path", "score", "density", "novelty", "diversity", "reason")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("select", help="write the worklist: which images to annotate, in which order")
    add_options(parser)
    parser.add_argument("--exclude", type=Path, help="text file of images, one a line, that are not in the pool")
    add_patient_options(parser)
    parser.add_argument("--out", type=Path, default=Path("picks.csv"), help="CSV file to write (default picks.csv)")
    parser.add_argument("--worklist", type=Path, help="CSV file for annotators; of an archive also a page of links")
    parser.add_argument("--viewer", default=VIEWER, help=f"server that the links open (default {VIEWER})")
    parser.add_argument("--plot", type=Path, help="picture of the picks and the calibration (.png, .pdf or .svg)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Rank the pool, print why, and write the CSV file."""
    settings = settings_from_arguments(arguments)
    _check_files(arguments, settings)
    studies = open_studies(arguments.studies, settings)
    leases = open_leases(arguments.studies, settings)
    pool, labelled = _images(arguments, studies, settings, leases)
    patients = patients_of(studies, pool, arguments.patients) if arguments.per_patient else None
    opened = open_command_pool(studies, pool, settings, leases)
    left_out = "" if arguments.exclude is None else f" ({len(studies.images.keys() - pool)} left out)"
    counts = f"{len(pool)} images in the pool{left_out}, {len(labelled)} labelled"
    counts += "" if patients is None else f", {len(set(patients.values()))} patients"
    say(console, f"{counts}, preset {opened.preset.name}, vectors in {opened.workspace.root}")
    with StageProgress(console) as progress:
        for why in opened.fetch(progress).values():
            say(console, f"set aside: {why}", style="yellow")
        checkpoint, report = pipeline.prepare(pool, settings, opened.preset, opened.workspace, opened.store, progress)
        wanted = settings.budget.of(len(pool))
        ranking = rank(checkpoint.id, pool, labelled, settings, opened.store, wanted, patients=patients)
    aside = [why for image, (_, why) in opened.store.failures(TARGET).items() if image in pool]
    say(console, f"{report.embedded} images embedded now, {report.unchanged} found embedded, {len(aside)} set aside.")
    for why in aside:
        say(console, f"set aside: {why}", style="yellow")
    _show(ranking, console)
    chosen = [pick.image for pick in ranking.picks[: ranking.budget]]
    of_patient = {} if patients is None else places_of_patients(chosen, ranking.labelled, patients)
    _write_picks(arguments.out, pool, ranking, of_patient)
    say(console, f"{len(chosen)} picks written to {arguments.out}")
    if arguments.worklist is not None:
        with writing("--worklist", arguments.worklist):
            files = write_worklist(arguments.worklist, ranking, studies, arguments.viewer, of_patient)
        for file in files:
            say(console, f"Worklist written to {file}")
    if arguments.plot is not None:
        _plot(arguments.plot, checkpoint.id, pool, ranking, opened.store)
        say(console, f"Picture written to {arguments.plot}")
    return 0


def _check_files(arguments: argparse.Namespace, settings: Settings) -> None:
    """Refuse files that cannot be written, before any work is done.

    Raises:
        UserError: there is one.
    """
    if arguments.plot is not None:
        check_plot(arguments.plot)
    outputs = {f"--{name}": getattr(arguments, name) for name in ("out", "worklist", "plot")}
    if arguments.worklist is not None:
        if is_remote(arguments.studies):
            outputs["the page of --worklist"] = page_of(arguments.worklist)
        else:
            outputs["the task list of --worklist"] = task_list_of(arguments.worklist)
    check_not_an_image(outputs, arguments.studies, settings.source)
    check_outputs(outputs, {"--exclude": arguments.exclude, "--patients": arguments.patients})
    check_patient_options(arguments, settings)


def _images(
    arguments: argparse.Namespace, studies: Studies, settings: Settings, leases: Leases | None
) -> tuple[dict[str, Path], Collection[str]]:
    """The pool, and the images of it that are labelled.

    Raises:
        UserError: nothing is left to pick, or less than the budget.
    """
    excluded = _excluded(arguments.exclude, studies.images)
    pool = waiting_images(studies.images, leases, excluded)
    if not pool:
        raise UserError(f"--studies {arguments.studies}: no image is left to pick from; name a folder with images.")
    if settings.budget.count is not None and settings.budget.count > len(pool):
        raise UserError(
            f"--budget {settings.budget}: the pool has only {len(pool)} images; ask for that many or fewer."
        )
    labelled = studies.labelled.keys() & pool.keys()
    if len(pool) == len(labelled):
        raise UserError(f"--studies {arguments.studies}: all {len(pool)} images are labelled; nothing is left to pick.")
    return pool, labelled


def _write_picks(file: Path, pool: Mapping[str, Path], ranking: Ranking, of_patient: Mapping[str, str]) -> None:
    """A row for each pick of the budget: rank, image, path, terms and reason."""
    with writing("--out", file), file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        for pick in ranking.picks[: ranking.budget]:
            terms = [f"{value:.6f}" for value in (pick.score, pick.density, pick.novelty, pick.diversity)]
            why = reason(pick, ranking, of_patient.get(pick.image, ""))
            writer.writerow([pick.rank, pick.image, pool[pick.image], *terms, why])


def _excluded(file: Path | None, images: Mapping[str, Path]) -> Collection[str]:
    try:
        return () if file is None else read_ids(file, images)
    except UserError as error:
        raise UserError(f"--exclude {error}") from error


def _plot(path: Path, encoder: str, pool: Collection[str], ranking: Ranking, store: EmbeddingStore) -> None:
    images, target, source = standardised_vectors(encoder, pool, store)
    row = {image: row for row, image in enumerate(images)}
    labelled = len(ranking.labelled)
    draw_selection(
        path,
        target,
        source,
        labelled=[row[image] for image in sorted(ranking.labelled)],
        picks=[row[pick.image] for pick in ranking.picks[: ranking.budget]],
        calibration=ranking.calibration,
        alpha=ranking.alpha,
        coverage=ranking.coverage[: max(2 * ranking.budget, (ranking.worthwhile or 0) - labelled + ranking.budget)],
        worthwhile=None if ranking.worthwhile is None else ranking.worthwhile - labelled,
        advice=ranking.advice,
    )


def _show(ranking: Ranking, console: Console) -> None:
    if ranking.calibration:
        table = Table(title=f"Calibration of alpha at {ranking.budget} picks", title_justify="left")
        for column in ("alpha", "mean coverage", "max coverage", ""):
            table.add_column(column, justify="right")
        for alpha, mean, largest in ranking.calibration:
            table.add_row(
                f"{alpha:.1f}", f"{mean:.4f}", f"{largest:.4f}", "<- chosen" if alpha == ranking.alpha else ""
            )
        console.print(table)
    elif ranking.novelty:
        console.print(f"alpha {ranking.alpha:.2f}, as asked", highlight=False)
    else:
        console.print("Novelty is off: there is no source to compare with (--source DIR).", highlight=False)
    table = Table(title="Worklist", title_justify="left")
    for column in ("rank", "image", "score", "density", "novelty", "diversity"):
        table.add_column(column, justify="left" if column == "image" else "right", overflow="fold")
    for pick in ranking.picks[: ranking.budget]:
        terms = (pick.score, pick.density, pick.novelty, pick.diversity)
        table.add_row(str(pick.rank), escape(pick.image), *(f"{value:.3f}" for value in terms))
    console.print(table)
    console.print(ranking.advice, highlight=False, markup=False, soft_wrap=True)
