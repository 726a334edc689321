"""How work on the pool ends where the disk does not go along."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from xssr_strategy.errors import UserError
from xssr_strategy.storage.disk_errors import FAILURES, describe_disk_error
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.startup import in_background_process

logger = logging.getLogger(__name__)


@contextmanager
def report_disk_errors(project: Project, kind: str) -> Iterator[None]:
    """What a full, read-only or damaged disk raises inside becomes one sentence, in the log and in ``/info/``.

    Args:
        project: whose state tells of it.
        kind: of work, for the log.

    Raises:
        UserError: in its place.
    """
    try:
        yield
    except FAILURES as error:
        if (sentence := describe_disk_error(error)) is None:
            raise
        logger.error("%s stopped: %s", kind, sentence)
        with suppress(*FAILURES):  # the same disk has to hold it
            project.report_end(sentence)
        raise UserError(sentence) from None


def leave_processor_to_server() -> None:
    """A lower priority for a background process, so that annotators never wait for it."""
    if in_background_process():
        os.nice(10)
