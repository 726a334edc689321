"""``xssr serve``: MONAI Label with the XSSR app."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from xssr_strategy.archive.query import is_remote
from xssr_strategy.errors import UserError
from xssr_strategy.pool.workspace import server_workspace
from xssr_strategy.settings import parse_settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "serve",
        help="start the server for 3D Slicer and OHIF",
        epilog="Everything after -- goes to `monailabel start_server` as it is.",
    )
    parser.add_argument("--studies", required=True, help="folder of images, or DICOMweb URL")
    parser.add_argument("--source", help="folder or series of an archive: unlabelled images of the domain you know")
    parser.add_argument("--labels", help="names of the labels, separated by commas")
    parser.add_argument("--conf", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="any setting")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine)")
    parser.add_argument("--port", default="8000", help="port to listen on (default 8000)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Replace this process by the server."""
    conf = [[key, value] for key, value in arguments.conf]
    conf += [[key, value] for key in ("source", "labels") if (value := getattr(arguments, key)) is not None]
    command, environment = server_command(
        arguments.studies, conf, arguments.host, arguments.port, arguments.passed_through
    )
    os.execve(command[0], command, environment)  # noqa: S606 - no shell on purpose


def server_command(
    studies: str, conf: list[list[str]], host: str, port: str, more: list[str]
) -> tuple[list[str], dict[str, str]]:
    """The command line and environment of a server.

    Raises:
        UserError: MONAI Label is not installed, a setting is wrong, or the studies folder is missing.
    """
    try:
        importlib.import_module("monailabel")
    except ImportError as error:
        raise UserError(
            f"MONAI Label cannot be imported ({error}): install it with pip install 'xssr-strategy[server]'."
        ) from None
    settings = parse_settings(dict(conf))
    if not is_remote(studies) and not Path(studies).is_dir():
        raise UserError(f"--studies {studies}: no such folder; name the folder that holds the images.")
    app = _app_folder(server_workspace(studies, settings).root.resolve() / "app")
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", studies]
    command += ["--host", host, "--port", port]
    for key, value in conf:
        command += ["--conf", key, value]
    # Tools of the same environment (dcmqi) must be found even where it is not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return [*command, *more], {**os.environ, "PATH": path}


def _app_folder(folder: Path) -> Path:
    """A writable folder with the app: MONAI Label puts logs and models where its ``main.py`` is."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(files("xssr_strategy.app") / "main.py"), folder / "main.py")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}): name a folder with --conf workspace DIR.") from None
    return folder
