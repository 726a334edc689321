"""What a server tells of entries that its listings pass over: once, when it starts or when they change."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from tests.support.app import CONF
from tests.support.pools import write
from xssr_strategy.datastores.opening import open_datastore
from xssr_strategy.images.listing import find_images
from xssr_strategy.tasks import startup
from xssr_strategy.tasks.project import Project


def test_a_start_and_later_listings_tell_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    studies, source = write(tmp_path / "studies", 3, 1), write(tmp_path / "source", 3, 2)
    for folder in (studies, source):
        (folder / "broken.png").symlink_to(tmp_path / "gone")
    project = Project(str(studies), {**CONF, "source": str(source), "preset": "xray"})
    datastore = open_datastore(project.opened, watch=False)
    project.opened.source_images()
    (studies / "new.bmp").write_bytes(b"x")
    for _ in range(2):
        datastore.refresh()
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert [line.partition(" is")[0] for line in told] == [
        str(studies / "broken.png"),
        str(source / "broken.png"),
        str(studies / "new.bmp"),
    ]


def test_background_processes_leave_it_to_the_server(tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone")
    log = logging.getLogger("xssr_strategy.images.left_out")
    monkeypatch.setattr(log, "level", log.level)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(startup, "in_background_process", lambda: True)
    startup.report_startup_errors_in_one_line()
    find_images(tmp_path)
    assert not caplog.records
