"""The file of a trained network, as commands are told of it."""

from __future__ import annotations

from pathlib import Path

from xssr_strategy.archive.query import is_remote
from xssr_strategy.errors import UserError
from xssr_strategy.pool.workspace import FOLDER, Workspace, server_workspace
from xssr_strategy.settings import Settings


def model_file(named: str, option: str) -> Path:
    """The model file that an option names: itself, or that of the server on these studies.

    Args:
        named: file, studies folder, workspace, or URL of a DICOMweb archive.
        option: for messages.

    Raises:
        UserError: there is none.
    """
    if is_remote(named):
        file = server_workspace(named, Settings()).segmentation
        if not file.exists():
            raise UserError(f"{option} {named}: no network is trained on this archive; name a model file.")
        return file
    trained = Path(named)
    if trained.is_dir():
        places = [Workspace(trained / FOLDER).segmentation, Workspace(trained).segmentation]
        found = [place for place in places if place.exists()]
        if not found:
            raise UserError(f"{option} {trained}: no network is trained there; name a model file, or train one.")
        return found[0]
    if not trained.exists():
        raise UserError(f"{option} {trained}: does not exist; name a model file or the studies folder of a server.")
    return trained
