"""The pool of an archive: series to annotate, those annotated already, and their files."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from xssr_strategy.archive import labels, listing
from xssr_strategy.archive.cache import SeriesCache, cache_root
from xssr_strategy.archive.client import Archive, ArchiveError, Series, is_uid
from xssr_strategy.archive.labels import LabelledSeries
from xssr_strategy.archive.listing import Listing
from xssr_strategy.archive.query import Query
from xssr_strategy.errors import UserError
from xssr_strategy.storage.database import data_home, open_database

logger = logging.getLogger(__name__)

MAX_AGE = 60.0
"""Seconds after which the list of series is renewed (our choice)."""

_LOOK_PATIENCE = 2.0  # seconds that a click may wait for an archive that hangs (our choice)
_LOOK_LASTS = 1.0  # seconds after which a look ahead is too old (our choice)
_LOOK_PAUSE = 30.0  # seconds without another look after one that failed (our choice)
_PRESETS = {"CT": "ct", "MR": "mri", "PT": "mri", "NM": "mri"}  # what is no volume counts as an X-ray
_VERSION = 1
_NOTHING: Mapping[str, Series] = {}
_Known = tuple[tuple[Mapping[str, Series], frozenset[str]], tuple[frozenset[str], frozenset[str]]]
_NOTES = "CREATE TABLE IF NOT EXISTS notes (image TEXT PRIMARY KEY, content TEXT NOT NULL);"


class SeriesQuery:
    """The series that a query names, and their files.

    Args:
        query: with the URL of an archive.
        asked_by: the option that holds the query, for messages.

    Raises:
        UserError: an unknown keyword, or DICOMweb support is not installed.
    """

    def __init__(self, query: Query, asked_by: str) -> None:
        _check_keywords(query, asked_by)
        self.archive = Archive(query.url)
        self.cache = SeriesCache(self.archive, cache_root(query.url))
        self.db = open_database(
            data_home() / "archives" / f"{self.cache.root.name}.sqlite",
            listing.SCHEMA + labels.SCHEMA + _NOTES,
            _VERSION,
            "a catalogue of an archive",
            "labels on which nothing is drawn and notes of viewers are lost",
        )
        self.listing = Listing(self.archive, query.matching(), self.db)

    def files(self) -> dict[str, Path]:
        """uid -> folder of every series, be it fetched or not; the archive is asked if its list is old.

        Raises:
            ArchiveError: the archive gave no usable answer and has never given one.
        """
        if self.listing.age > MAX_AGE:
            self.renew_or_keep(self.listing.renew)
        return {uid: self.cache.folder(uid) for uid in self.listing.series()}

    def renew_or_keep(self, renew: Callable[[], None]) -> None:
        """Ask the archive; what it said before holds if it gives no usable answer now.

        Raises:
            ArchiveError: it has never given one.
        """
        try:
            renew()
        except ArchiveError as error:
            if not self.listing.series():
                raise
            logger.warning("The list of series is as it was: %s", error)
            self.listing.postpone()

    def fetch(self, progress: Callable[[int, int], None]) -> dict[str, str]:
        """As :meth:`SeriesCache.fetch_all`, of all series."""
        return self.cache.fetch_all(list(self.listing.series().values()), progress)


class ArchivePool:
    """The series of an archive that may be annotated; no answer of it waits for the archive but where it says so.

    Args:
        url: of the DICOMweb service.
        filters: which series; DICOM keyword -> value.
        source: the source domain, if it is in the same archive: its series are not in the pool.

    Raises:
        UserError: an unknown keyword, or DICOMweb support is not installed.
        ArchiveError: the archive gave no usable answer and has never given one.
    """

    def __init__(self, url: str, filters: Mapping[str, str], source: SeriesQuery | None = None) -> None:
        query = Query(url.rstrip("/"), tuple(sorted(filters.items())))
        self._of = SeriesQuery(query, "MONAI_LABEL_DICOMWEB_SEARCH_FILTER")
        self._source = source
        self.archive, self.cache, self.query = self._of.archive, self._of.cache, query
        self._labels = LabelledSeries(self.archive, self._of.db)
        self._quick = Archive(query.url, _LOOK_PATIENCE)
        self._no_look_until = 0.0
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._looks: dict[str, tuple[float, Future[None]]] = {}
        self._renewing = threading.Lock()
        self._series = (_NOTHING, _NOTHING), _NOTHING  # of these lists; in one, for threads
        self._known: _Known = (_NOTHING, frozenset()), (frozenset(), frozenset())
        if self._of.listing.age > MAX_AGE:
            self._of.renew_or_keep(self.renew)

    def series(self) -> Mapping[str, Series]:
        """uid -> series, sorted by uid; an old list is renewed in a thread meanwhile."""
        if self._of.listing.age > MAX_AGE and self._renewing.acquire(blocking=False):
            threading.Thread(target=self._renew_in_thread, name="archive listing", daemon=True).start()
        listed = self._of.listing.series(), self._source.listing.series() if self._source else _NOTHING
        known, series = self._series
        if listed[0] is not known[0] or listed[1] is not known[1]:
            series = {uid: one for uid, one in listed[0].items() if uid not in listed[1]}
            self._series = listed, series
        return series

    def images(self) -> frozenset[str]:
        """uids of the series of the pool; the same object as long as the list is the same."""
        return self._sets()[0]

    def labelled(self) -> frozenset[str]:
        """uids of the series of the pool that have a segmentation in the archive; the same object likewise."""
        return self._sets()[1]

    def _sets(self) -> tuple[frozenset[str], frozenset[str]]:
        series, segmented = self.series(), self._labels.images()
        known, sets = self._known
        if known[0] is not series:
            images = sets[0] if sets[0] == series.keys() else frozenset(series)
            labelled = segmented & images
            self._known = (series, segmented), (images, sets[1] if sets[1] == labelled else labelled)
        elif known[1] is not segmented:
            self._known = (series, segmented), (sets[0], segmented & sets[0])
        return self._known[1]

    @property
    def labels(self) -> LabelledSeries:
        """What segments what."""
        return self._labels

    def renew(self) -> None:
        """Ask the archive for all series and segmentations.

        Raises:
            ArchiveError: no usable answer.
        """
        self._of.listing.renew()
        if self._source is not None:
            self._source.listing.renew()
        self._labels.renew()

    def still_waits(self, uid: str) -> bool:
        """Whether a series is in the archive and without a segmentation, by a look at its study.

        An archive that does not answer within two seconds is not asked: the series is taken as it was listed.
        """
        if uid not in self.series():
            return False
        begun, look = self._looks.pop(uid, (-math.inf, None))
        if look is not None and time.monotonic() - begun < _LOOK_LASTS:
            look.result()
        else:
            self._look(uid)
        return uid in self.series() and uid not in self._labels.images()

    def look_ahead(self, uid: str) -> None:
        """Begin in a thread what :meth:`still_waits` would do."""
        self._looks = {uid: (time.monotonic(), self._looking.submit(self._look, uid))}

    def _look(self, uid: str) -> None:
        series = self.series().get(uid)
        if series is None or time.monotonic() < self._no_look_until:
            return
        try:
            study = self._quick.search({}, series.study)
            found = [one for one in study if one.modality == "SEG"]
            self._labels.learn(found, self._quick, _LOOK_PATIENCE)
        except ArchiveError as error:
            self._no_look_until = time.monotonic() + _LOOK_PAUSE
            logger.warning("Series %s is handed out without a look at the archive: %s", uid, error)
            return
        if uid not in {one.uid for one in study}:
            logger.warning("Series %s is not in the archive any more.", uid)
            self._of.listing.drop(uid)

    def submit(self, series: Series, segmentation: str, file: Path, made: str) -> None:
        """Store a DICOM SEG; its series counts as labelled as soon as the archive has acknowledged it.

        Args:
            series: that it segments.
            segmentation: uid of the SEG's own series.
            file: the SEG.
            made: as :attr:`Segmentation.made`.

        Raises:
            ArchiveError: the archive did not take it.
        """
        self.archive.store(file)
        self._no_look_until = 0.0
        self._labels.submitted(series.uid, segmentation, series.study, made)

    def find(self, uid: str) -> Series | None:
        """A series of the archive, be it in the pool or not, by a quick look.

        Raises:
            ArchiveError: no usable answer.
        """
        found = self._quick.search({"SeriesInstanceUID": uid}) if is_uid(uid) else []
        return next((one for one in found if one.uid == uid), None)

    def fetch(self, progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, str]:
        """As :meth:`SeriesCache.fetch_all`, of the whole pool."""
        return self.cache.fetch_all(list(self.series().values()), progress)

    def note(self, uid: str) -> dict[str, Any]:
        """What was noted about a series."""
        row = self._of.db.execute("SELECT content FROM notes WHERE image = ?", (uid,)).fetchone()
        return {} if row is None else json.loads(row[0])

    def add_note(self, uid: str, content: Mapping[str, Any]) -> None:
        """Note something about a series, beside what was noted before."""
        whole = json.dumps({**self.note(uid), **content}, default=str)
        self._of.db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (uid, whole))

    def preset_name(self) -> str:
        """The preset that suits most series, by their modality; there must be one."""
        presets = Counter(_PRESETS.get(one.modality, "xray") for one in self.series().values())
        return max(sorted(presets), key=lambda name: presets[name])

    def _renew_in_thread(self) -> None:
        try:
            self._of.renew_or_keep(self.renew)
        finally:
            self._renewing.release()


def _check_keywords(query: Query, asked_by: str) -> None:
    from pydicom.datadict import tag_for_keyword

    for keyword, _ in query.filters:
        if tag_for_keyword(keyword) is None:
            raise UserError(
                f"{asked_by} {query}: DICOM knows no {keyword}, and an archive would pass over it; "
                "use keywords such as Modality, StationName, StudyDate."
            )
