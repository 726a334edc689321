"""``xssr embed``: give every image of a pool its vector, in several processes, before a server needs them."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from xssr_strategy.commands.pool_options import add_options, settings_from_arguments, waiting_images, worker_count
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.errors import UserError
from xssr_strategy.parallel.images import Workers
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.opened import open_server_pool


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("embed", help="embed a pool in several processes, for the server on the same studies")
    add_options(parser, without=("budget", "alpha", "combination"))
    parser.add_argument(
        "--workers", type=worker_count, help="processes that embed, one thread each (default: embed_workers)"
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="embed on the nodes of a Ray cluster, which see the same files"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train the encoder if there is none, and embed what has no vector yet, in the workspace of the server."""
    settings = settings_from_arguments(arguments)
    if arguments.ray is not None and arguments.workers is not None:
        raise UserError("--workers: a Ray cluster has as many as it has processors; leave it out, or --ray.")
    opened = open_server_pool(arguments.studies, settings)
    pool = waiting_images(opened.studies.images, opened.leases)
    workers = Workers(arguments.workers or settings.embed_workers, arguments.ray)
    say(console, f"{len(pool)} images in the pool, preset {opened.preset.name}, vectors in {opened.workspace.root}")
    begin = time.monotonic()
    with StageProgress(console) as progress:
        for why in opened.fetch(progress).values():
            say(console, f"set aside: {why}", style="yellow")
        files = opened.workspace, opened.store
        _, report = pipeline.prepare(pool, settings, opened.preset, *files, progress, workers)
    seconds = time.monotonic() - begin
    aside = [why for image, (_, why) in opened.store.failures(TARGET).items() if image in pool]
    counts = f"{report.embedded} images embedded now, {report.unchanged} found embedded, {len(aside)} set aside"
    say(console, f"{counts}; {seconds:.0f} s.")
    for why in aside:
        say(console, f"set aside: {why}", style="yellow")
    return 0
