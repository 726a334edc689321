"""``xssr fetch-weights``: weights that others have trained, fetched because the user asks for them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from xssr_strategy.commands.progress import say
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.sam2 import INSTALL, check_weights
from xssr_strategy.storage.database import data_home

FILES = ("config.json", "model.safetensors", "*processor*.json")


@dataclass(frozen=True)
class Published:
    """Weights that can be fetched.

    Attributes:
        repository: of Hugging Face.
        megabytes: about.
        licence: of the weights.
    """

    repository: str
    megabytes: int
    licence: str


KNOWN = {
    "sam2.1-tiny": Published("facebook/sam2.1-hiera-tiny", 156, "Apache-2.0"),
    "sam2.1-small": Published("facebook/sam2.1-hiera-small", 184, "Apache-2.0"),
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("fetch-weights", help="fetch the weights of SAM 2 from Hugging Face")
    parser.add_argument("name", choices=KNOWN, help="which")
    parser.add_argument("--out", type=Path, help="folder (default: below ~/.local/share/xssr)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Fetch what is missing, and look at what came."""
    weights = KNOWN[arguments.name]
    folder = arguments.out or weights_folder(arguments.name)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(f"fetch-weights needs the package huggingface_hub; {INSTALL}.") from error
    say(console, f"Fetching {weights.repository}, about {weights.megabytes} MB, licence {weights.licence} ...")
    try:
        snapshot_download(weights.repository, local_dir=folder, allow_patterns=list(FILES))
    except Exception as error:  # of the network, of the disk and of Hugging Face, each with classes of its own
        place = f"https://huggingface.co/{weights.repository}"
        raise UserError(
            f"{weights.repository}: cannot be fetched ({type(error).__name__}); try again, or fetch {', '.join(FILES)} "
            f"from {place} on another machine and copy them into {folder}."
        ) from error
    check_weights(folder)
    say(console, f"Weights of {arguments.name} are in {folder}; start the server with --conf sam_weights {folder}")
    return 0


def weights_folder(name: str) -> Path:
    """Where weights are kept if nothing else is asked for."""
    return data_home() / "weights" / name
