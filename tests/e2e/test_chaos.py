"""The short form of ``make chaos``: each fault a few times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.__main__ import kill
from tests.chaos.disk import DiskFaults
from tests.chaos.load import Load
from tests.chaos.long_run import LongRun
from tests.support.warm import Kiln

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def kiln() -> Iterator[Kiln]:
    with Kiln() as one:
        yield one


def test_killed_at_any_moment(kiln: Kiln, tmp_path: Path) -> None:
    rows = kill(kiln, tmp_path, kills=4, seed=1, images=20)
    assert sum(row.injected for row in rows) >= 4
    assert [row.lost for row in rows] == [(), ()]


def test_a_full_and_a_read_only_disk(kiln: Kiln, tmp_path: Path) -> None:
    rows = DiskFaults(kiln, tmp_path).run()
    assert {row.fault: row.injected for row in rows} == {"disk full": 7, "disk read-only": 5}
    assert [row.lost for row in rows] == [(), ()]


def test_many_annotators_at_once(kiln: Kiln, tmp_path: Path) -> None:
    row = Load(kiln, tmp_path, images=200, clients=20, seconds=5).run()
    assert row.injected >= 20
    assert row.lost == ()


def test_many_scoring_rounds(kiln: Kiln, tmp_path: Path) -> None:
    assert LongRun(kiln, tmp_path, rounds=12, own_process=12).run().lost == ()
