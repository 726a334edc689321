"""The files of an archive's series on this machine: each series is fetched once, and is there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

import numpy as np

from xssr_strategy.archive.client import Archive, ArchiveDown, ArchiveError, Series

_FETCHERS = 4  # series at a time (our choice)
_ABANDONED = 3600.0  # seconds after which an unfinished download is taken for one that was killed (our choice)
_UNEVEN = 0.1  # share of the distance between slices by which it may vary (our choice)
_PART = ".part-"


def cache_root(url: str) -> Path:
    """MONAI Label's own folder for an archive: ``MONAI_LABEL_DICOMWEB_CACHE_PATH`` or ``~/.cache/monailabel/dicom``."""
    parent = os.environ.get("MONAI_LABEL_DICOMWEB_CACHE_PATH", "").strip()
    name = hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()
    return (Path(parent) if parent else Path.home() / ".cache" / "monailabel" / "dicom") / name


class SeriesCache:
    """Folders of DICOM files, named by the uid of their series.

    Args:
        archive: where they come from.
        root: the folder that holds them.
    """

    def __init__(self, archive: Archive, root: Path) -> None:
        self._archive, self.root = archive, root

    def folder(self, uid: str) -> Path:
        """Where the files of a series are, or will be."""
        return self.root / uid

    def has(self, series: Series) -> bool:
        """Whether the series is here, with as many files as the archive says that it has."""
        try:
            count = sum(name.endswith(".dcm") for name in os.listdir(self.folder(series.uid)))
        except FileNotFoundError:
            return False
        return count > 0 and series.instances in (None, count)

    def fetch(self, series: Series) -> Path:
        """The folder of the series, fetched if it is not here or has got more instances since.

        Raises:
            ArchiveDown: nothing can be fetched: no answer, or no space on this machine.
            ArchiveError: this series cannot be had whole, or its slices are not evenly spaced.
        """
        folder = self.folder(series.uid)
        if self.has(series):
            return folder
        part = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=_PART, dir=self.root))
            self._download(series, part)
            if not self.has(series):  # another process was not faster
                if folder.exists():
                    folder.rename(part / "before")
                part_of_now = part / "now"
                part_of_now.rename(folder)
        except OSError as error:
            if self.has(series):
                return folder
            raise ArchiveDown(f"{self.root} cannot be written ({error.strerror}): make room for more series.") from None
        finally:
            if part is not None:
                shutil.rmtree(part, ignore_errors=True)
        return folder

    def _download(self, series: Series, part: Path) -> None:
        """The series in the folder ``now``."""
        (part / "now").mkdir()
        count = self._archive.download(series, part / "now")
        if count == 0 or (series.instances is not None and count < series.instances):
            raise ArchiveError(
                f"{self._archive.url} sent {count} of {series.instances or 'the'} instances of series "
                f"{series.uid}: look at the log of the archive."
            )
        if not evenly_spaced(part / "now"):
            raise ArchiveError(
                f"series {series.uid}: slices are missing or not evenly spaced, so that no label would lie in its "
                "place; send the series to the archive again."
            )

    def fetch_all(
        self, wanted: Collection[Series], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> dict[str, str]:
        """Fetch what is not here.

        Args:
            progress: called with (series here, series wanted), if anything is to be fetched.

        Returns:
            uid -> reason of every series that the archive could not give.

        Raises:
            ArchiveDown: the archive does not answer; what was fetched stays.
        """
        self._remove_abandoned()
        missing = [one for one in wanted if not self.has(one)]
        failed: dict[str, str] = {}
        if not missing:
            return failed
        here = len(wanted) - len(missing)
        progress(here, len(wanted))
        with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch") as fetchers:
            pending = {fetchers.submit(self.fetch, one): one for one in missing}
            for done in as_completed(pending):
                try:
                    done.result()
                    here += 1
                    progress(here, len(wanted))
                except ArchiveDown:
                    fetchers.shutdown(cancel_futures=True)
                    raise
                except ArchiveError as error:
                    failed[pending[done].uid] = str(error)
        return failed

    def _remove_abandoned(self) -> None:
        if self.root.is_dir():
            for part in self.root.glob(f"{_PART}*"):
                with suppress(FileNotFoundError):  # it has just ended
                    if part.stat().st_mtime < time.time() - _ABANDONED:
                        shutil.rmtree(part, ignore_errors=True)


def evenly_spaced(folder: Path) -> bool:
    """Whether the slices of a series, one a file, follow each other at one distance; True where nothing tells.

    ITK takes the mean distance for all, and would put everything behind a gap into the wrong place.
    """
    from pydicom import dcmread

    places, normals = [], []
    for file in folder.glob("*.dcm"):
        one = dcmread(file, stop_before_pixels=True, specific_tags=["ImagePositionPatient", "ImageOrientationPatient"])
        if "ImagePositionPatient" not in one or "ImageOrientationPatient" not in one:
            return True
        rows, columns = np.reshape([float(value) for value in one.ImageOrientationPatient], (2, 3))
        normals.append(np.cross(rows, columns))
        places.append([float(value) for value in one.ImagePositionPatient])
    if len(places) < 3 or not np.allclose(normals, normals[0], atol=1e-2):
        return True  # several orientations are no volume at all, which the reader says
    steps = np.diff(np.sort(np.asarray(places) @ normals[0]))
    return bool(np.ptp(steps) <= _UNEVEN * np.median(steps))
