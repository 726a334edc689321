"""What the scripts that run ``xssr simulate`` on several pools have in common."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

_OPTIONS = ("budget", "steps", "encoder_steps", "seeds", "draws", "size")


def add_options(parser: argparse.ArgumentParser, budget: str, **defaults: int) -> None:
    """``out``, and the options of ``xssr simulate`` that are passed on."""
    parser.add_argument("out", type=Path)
    parser.add_argument("--budget", default=budget)
    for name in _OPTIONS[1:]:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=defaults[name])


def names_among(known: Collection[str]) -> Callable[[str], list[str]]:
    """A parser of names that commas separate."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]}: is none of {'; '.join(known)}")
        return names

    return parse


def simulate(arguments: argparse.Namespace, *more: str | Path) -> bool:
    """Whether a simulation ended well, with a workspace for all of them; the reason why not is shown."""
    command = [Path(sys.executable).parent / "xssr", "simulate", "--workspace", arguments.out / "workspace", *more]
    for name in _OPTIONS:
        if name != "size" or "--spacing" not in more:  # volumes have a spacing, pictures a size
            command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    return subprocess.run(list(map(str, command)), check=False).returncode == 0
