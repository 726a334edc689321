"""Which scoring methods have something to do, so that MONAI Label starts a process for those alone."""

from __future__ import annotations

from collections.abc import Collection

from monailabel.interfaces.datastore import Datastore
from monailabel.utils.async_tasks.utils import tasks

from xssr_strategy.tasks.map_scoring import MapScoring
from xssr_strategy.tasks.project import Project


def due_methods(
    project: Project, map_scoring: MapScoring, datastore: Datastore, offered: Collection[str], look_at_files: bool
) -> list[str]:
    """Names of the scoring methods that would find something to do and do not wait for a process already.

    Args:
        project, map_scoring, datastore: of the server.
        offered: names of the methods that are switched on.
        look_at_files: also notice images that were replaced on disk, at the cost of a look at each.
    """
    waiting = {task["request"]["method"] for task in tasks("scoring") if task["status"] in ("SUBMITTED", "RUNNING")}
    is_due = {
        "xssr": lambda: project.scoring_is_due(datastore, look_at_files=look_at_files),
        "entropy": lambda: project.uncertainty.is_due(lambda: project.unlabelled(datastore)),
        "quality": lambda: project.qualities.is_due(lambda: project.unlabelled(datastore)),
        "map": lambda: map_scoring.is_due(datastore),
    }
    return [name for name, due in is_due.items() if name in offered and name not in waiting and due()]
