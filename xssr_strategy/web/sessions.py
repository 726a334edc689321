"""Sessions: images that a viewer has opened locally, and uploaded for inference alone."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
import uuid
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import HTTPException
from monailabel.utils.sessions import Sessions

from xssr_strategy.storage.atomic_files import write_atomic

# What the unpackers of the standard library stumble over; RuntimeError where a password is wanted.
_BAD = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, zlib.error, LZMAError)


class SafeSessions(Sessions):
    """MONAI Label's sessions, of which none leads out of its folder.

    The stock class takes any path for an id, deletes the folder of a session whose image is gone, unpacks a tar
    archive to wherever its names point, and fails at a folder that a kill left without description or with half of
    one. It is a dictionary of those that were asked for, and after a restart it counts as none at all.
    """

    def __bool__(self) -> bool:
        """Whether there are sessions on this server: there may be, on the disk."""
        return True

    def get_session(self, session_id: str, update_ts: bool = True, fetch_cache: bool = True) -> Any:
        """The session, or None if there is none."""
        if not _is_id(session_id):
            return None
        try:
            return super().get_session(session_id, update_ts, fetch_cache)
        except ValueError:  # half a description
            return None

    def _write_meta_info(self, session_id: str, session_info: Any) -> None:
        write_atomic(Path(self.store_path) / session_id / "meta.info", session_info.to_str().encode())

    def remove_expired(self) -> int:
        """Delete the sessions that have ended; how many."""
        now, count = time.time(), 0
        folders = Path(self.store_path).iterdir() if Path(self.store_path).is_dir() else ()
        for folder in [one for one in folders if _is_id(one.name)]:
            session = self.get_session(folder.name, update_ts=False, fetch_cache=False)
            if session is None:
                ended = now - folder.stat().st_mtime > self.expiry if folder.exists() else False
            else:
                ended = 0 < session.expiry < now - session.last_access_ts
            if ended:
                self.remove_session(folder.name)
                count += 1
        return count

    def add_session(
        self, data_file: str, expiry: int = 0, uncompress: bool = False, session_id: str | None = None
    ) -> Any:
        """As the base class.

        Raises:
            HTTPException: the archive cannot be unpacked, or leads out of its folder (422).
        """
        if uncompress and os.path.isfile(data_file):
            data_file = _unpacked(Path(data_file))
        return super().add_session(data_file, expiry, False, session_id)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _unpacked(file: Path) -> str:
    folder = tempfile.mkdtemp()
    try:
        if zipfile.is_zipfile(file):
            _unzip(file, folder)
        else:
            with tarfile.open(file) as archive:
                archive.extractall(folder, filter="data")  # refuses names and links that lead out of the folder
    except _BAD:
        shutil.rmtree(folder)
        raise HTTPException(
            422, f"{file.name}: is damaged, neither .zip nor .tar, or leads out of its folder; pack the images again."
        ) from None
    return folder


def _unzip(file: Path, folder: str) -> None:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
                raise ValueError(name)
        archive.extractall(folder)  # noqa: S202 - the names are checked above
