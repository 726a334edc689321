"""Which series are labelled, as an archive's segmentations say."""

from __future__ import annotations

import sqlite3

import pytest

from xssr_strategy.archive import labels
from xssr_strategy.archive.client import Series
from xssr_strategy.archive.labels import LabelledSeries
from xssr_strategy.storage.database import open_database


class Answers:
    """An archive of segmentations, each with what its metadata say."""

    url = "http://archive"

    def __init__(self, **images: str | None) -> None:
        self.images, self.asked = images, list[str]()

    def search(self, filters: object) -> list[Series]:
        return [Series(uid, "1.1", "SEG") for uid in self.images]

    def metadata(self, series: Series) -> list[dict]:
        self.asked.append(series.uid)
        image = self.images[series.uid]
        if image is None:
            return []
        return [{"00081115": {"Value": [{"0020000E": {"Value": [image]}}]}, "00080023": {"Value": ["20200101"]}}]


@pytest.fixture
def db(tmp_path) -> sqlite3.Connection:
    return open_database(tmp_path / "labels.sqlite", labels.SCHEMA, 1, "a test", "nothing")


def test_what_a_segmentation_segments_is_asked_once_but_not_given_up(db) -> None:
    archive = Answers(a="1.5", b=None)
    known = LabelledSeries(archive, db)
    known.renew()
    known.renew()
    assert archive.asked == ["a", "b", "b"]  # b was still being stored: its metadata are empty
    assert set(known.images()) == {"1.5"}
    archive.images["b"] = "1.6"
    known.renew()
    assert set(known.images()) == {"1.5", "1.6"}
    assert set(LabelledSeries(archive, db).images()) == {"1.5", "1.6"}  # after a restart, without a question


def test_the_newest_label_counts_whatever_the_clocks_of_others_say(db) -> None:
    now = [1000.0]
    archive = Answers(a="1.5")
    known = LabelledSeries(archive, db, clock=lambda: now[0])
    known.submitted("1.5", "mine", "1.1", "19990101")
    now[0] += 1
    known.renew()
    assert known.segmentation("1.5").uid == "a"
    now[0] += 1
    known.submitted("1.5", "again", "1.1", "19990102")
    assert known.segmentation("1.5").uid == "again"


def test_what_another_process_has_learnt_of_a_segmentation_counts_here(db) -> None:
    archive = Answers(a="1.5")
    here, there = LabelledSeries(archive, db), LabelledSeries(archive, db)
    there.renew()
    here.learn(archive.search({}))
    assert set(here.images()) == {"1.5"}
    assert archive.asked == ["a"]


def test_a_deleted_segmentation_is_forgotten_once_the_archive_had_time_to_list_it(db) -> None:
    now = [1000.0]
    known = LabelledSeries(Answers(), db, clock=lambda: now[0])
    known.submitted("1.5", "mine", "1.1", "20260101")
    known.renew()
    assert set(known.images()) == {"1.5"}  # acknowledged a moment ago
    now[0] += 3600
    known.renew()
    assert set(known.images()) == set()


def test_an_empty_label_stays_until_it_is_taken_back(db) -> None:
    now = [1000.0]
    known = LabelledSeries(Answers(), db, clock=lambda: now[0])
    known.submitted_empty("1.5", "20260101")
    now[0] += 3600
    known.renew()
    assert set(known.images()) == {"1.5"}
    assert known.forget_empty("1.5")
    assert not known.forget_empty("1.5")
    assert set(known.images()) == set()
