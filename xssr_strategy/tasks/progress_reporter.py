"""How a background process tells the server and the log how far it is."""

from __future__ import annotations

import time
from typing import Any

from xssr_strategy.pool import pipeline
from xssr_strategy.tasks.project import Project


class ProgressReporter:
    """Reports progress to the server at most once a second, and logs a line per tenth of a stage.

    A callable for the ``progress`` argument of ``pipeline.update``.
    """

    def __init__(self, project: Project, log: Any) -> None:
        self._project = project
        self._log = log
        self._reported = 0.0
        self._logged: tuple[str, int] = ("", -1)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == pipeline.RANKING:  # takes seconds: for the server it is the same work
            stage = pipeline.EMBEDDING
        tenth = (stage, 10 * done // max(1, total))
        now = time.monotonic()
        if tenth[0] != self._logged[0] or now - self._reported >= 1.0:
            self._project.report_progress(stage, done, total)
            self._reported = now
        if tenth != self._logged:
            self._log.info("%s: %d of %d", stage[0].upper() + stage[1:], done, total)
            self._logged = tenth
