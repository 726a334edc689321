"""The ``xssr`` command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings

from rich.console import Console

from xssr_strategy import __version__
from xssr_strategy.commands.outputs import NO_ROOM
from xssr_strategy.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; a mistake of the user ends with one sentence and status 2."""
    if argv is None:
        _in_utf8()
    words = sys.argv[1:] if argv is None else argv
    # Before torch is loaded: threads that wait actively halve the speed of everything beside them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.filterwarnings("ignore", module="monai|torch|ignite|mlflow")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    console = Console()
    try:
        return _run(words, console)
    except UserError as error:
        console.print(f"xssr: {error}", style="bold red", highlight=False, markup=False, soft_wrap=True)
        return 2
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = error.filename or "the disk"
        sentence = f"xssr: {where}: {error.strerror}; make room and run again: what is finished is kept."
        console.print(sentence, style="bold red", highlight=False, markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130


def _in_utf8() -> None:
    """Begin again with names of files in UTF-8, as databases and viewers have them, if the locale says otherwise."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(command[0], command, {**os.environ, "PYTHONUTF8": "1"})  # noqa: S606 - no shell on purpose


def _run(words: list[str], console: Console) -> int:
    cut = words.index("--") if "--" in words else len(words)
    arguments = build_parser().parse_args(words[:cut])
    arguments.passed_through = words[cut + 1 :]
    status: int = arguments.run(arguments, console)
    return status


def build_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands; each sets ``run``."""
    from xssr_strategy.commands import (  # takes seconds
        check,
        doctor,
        embed,
        export,
        fetch_weights,
        pool,
        propagate,
        review,
        select,
        serve,
        simulate,
    )
    from xssr_strategy.commands import map as pool_map
    from xssr_strategy.demo import command as demo

    parser = argparse.ArgumentParser("xssr", description="Which scans deserve a radiologist's hour.")
    parser.add_argument("--version", action="version", version=f"xssr-strategy {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)
    first = (demo, serve, select, embed, pool_map, review)
    for command in (*first, check, propagate, simulate, export, pool, fetch_weights, doctor):
        command.add_parser(commands)
    commands.metavar = " | ".join(commands.choices)
    return parser


if __name__ == "__main__":
    sys.exit(main())
