"""What the scripts that make domains have in common."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path


def write_column(folder: Path, column: str, told: Mapping[str, str]) -> None:
    """``sites.csv``, ``patients.csv`` or ``kinds.csv`` of a domain: image -> what is told of it."""
    with (folder / f"{column}s.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", column), *told.items()])


def from_domain_to_folder(description: str | None) -> argparse.ArgumentParser:
    """A parser of ``domain`` and ``out``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", type=Path, help="labelled domain")
    parser.add_argument("out", type=Path, help="folder to make")
    return parser
