from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.tasks import guarded_run
from xssr_strategy.tasks.guarded_run import leave_processor_to_server, report_disk_errors


def test_a_full_disk_ends_the_work_with_one_sentence_which_the_state_tells(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    project: Any = SimpleNamespace(report_end=told.append)
    with pytest.raises(UserError) as caught, report_disk_errors(project, "Scoring"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/studies/.xssr/embeddings.sqlite")
    assert told == [str(caught.value)]
    assert "Scoring stopped: " in caplog.text
    with pytest.raises(ValueError, match="a defect"), report_disk_errors(project, "Scoring"):
        raise ValueError("a defect")
    assert len(told) == 1


def test_only_a_background_process_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(os, "nice", given.append)
    leave_processor_to_server()
    assert given == []
    monkeypatch.setattr(guarded_run, "in_background_process", lambda: True)
    leave_processor_to_server()
    assert given == [10]
