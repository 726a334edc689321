"""The NIfTI files of an archive's series, which viewers, training and inference read."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Queue

from fastapi import HTTPException

from xssr_strategy.archive.client import ArchiveError, Series
from xssr_strategy.archive.pool import ArchivePool
from xssr_strategy.archive.volumes import is_made_now, series_image, write_nifti
from xssr_strategy.errors import UserError

logger = logging.getLogger(__name__)

NIFTI = ".nii.gz"
_AFTERWARDS = 2.0  # seconds: annotators who ask at once are answered before anything is converted (our choice)


class SeriesFiles:
    """A file for each series, beside its folder in the cache; made when it is asked for, or in the background.

    Args:
        pool: of the archive.
    """

    def __init__(self, pool: ArchivePool) -> None:
        self._pool = pool
        self._converting: dict[str, threading.Lock] = {}
        self._wanted: Queue[str] = Queue()
        threading.Thread(target=self._convert_wanted, name="convert", daemon=True).start()

    def path(self, uid: str) -> Path:
        """Where the file of a series is, or will be."""
        return self._pool.cache.root / f"{uid}{NIFTI}"

    def ready(self, uid: str) -> Path:
        """The file of a series, fetched and converted if it is not here yet, be it in the pool or not.

        Raises:
            HTTPException: there is no such series (404), the archive does not give it (503), or it cannot be
                decoded (422).
        """
        series = self._pool.series().get(uid) or self._elsewhere(uid)
        file = self.path(uid)
        with self._converting.setdefault(uid, threading.Lock()):
            try:
                folder = self._pool.cache.fetch(series)
                if not is_current(file, folder):
                    _convert(folder, file)
            except ArchiveError as error:
                raise HTTPException(503, str(error)) from None
            except UserError as error:
                logger.warning("Series %s cannot be converted: %s", uid, error)
                raise HTTPException(422, str(error)) from None
            except (RuntimeError, OSError) as error:
                logger.warning("Series %s cannot be converted: %s", uid, error)
                raise HTTPException(422, f"{uid}: the series cannot be decoded; skip it.") from None
        return file

    def prepare(self, uid: str) -> None:
        """Make the file of a series in a while, in the background."""
        self._wanted.put(uid)

    def _convert_wanted(self) -> None:
        while True:
            uid = self._wanted.get()
            time.sleep(_AFTERWARDS)
            with suppress(HTTPException):  # whoever asks for the file is told
                self.ready(uid)

    def _elsewhere(self, uid: str) -> Series:
        try:
            series = self._pool.find(uid)
        except ArchiveError as error:
            raise HTTPException(503, str(error)) from None
        if series is None:
            raise HTTPException(404, f"{uid}: the archive has no such series.")
        return series


def is_current(file: Path, folder: Path) -> bool:
    """Whether a NIfTI file was made after the last file of a folder, by the present version of the reading."""
    try:
        newer = file.stat().st_mtime >= max(entry.stat().st_mtime for entry in os.scandir(folder))
    except (FileNotFoundError, ValueError):
        return False
    return newer and is_made_now(file)


def _convert(folder: Path, file: Path) -> None:
    """Write the NIfTI file of a series, on the grid on which its labels are."""
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / file.name
        write_nifti(series_image(folder), made)
        _move(made, file)


def _move(made: Path, file: Path) -> None:
    """To its place in one step, from whatever disk."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    shutil.move(made, beside)
    beside.replace(file)
