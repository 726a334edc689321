"""Strategy ``review``: the automatic masks that are most likely wrong first, so that people look at those."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from monailabel.interfaces.datastore import Datastore

from xssr_strategy.selection.catalogue import REVIEW
from xssr_strategy.tasks.pool_sets import OpenImages
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.strategy import PoolStrategy, XSSRStrategy


class ReviewStrategy(PoolStrategy):
    """The image whose mask has the lowest quality; before the model's masks are judged, XSSR picks."""

    def __init__(self, project: Project) -> None:
        super().__init__("Review: automatic masks to correct, the lowest quality first", project)
        self._xssr = XSSRStrategy(project)

    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """``id``, ``score``, ``quality``, ``label_quality``, ``model``, ``reason``, ``embedded``, ``pool``.

        ``score`` is 1 less the quality, and ``model`` the id of the model that made the mask. What XSSR says is
        answered while no waiting image has a judged mask.
        """
        project = self._project
        project.qualities.store.want(REVIEW)
        model, qualities = project.qualities.asked()
        judged = sorted((fmean(values.values()), image) for image, values in qualities.items() if image in waiting)
        if model is None or not judged or project.qualities.problem:
            return self._without_quality(waiting, datastore)
        quality, image = judged[0]
        by_label = qualities[image]
        worst = min(by_label, key=lambda name: by_label[name])
        which = f", lowest for {worst} ({by_label[worst]:.2f})" if len(by_label) > 1 else ""
        before = "" if model == project.qualities.model else " by the model before the present one"
        empty = "" if quality else " Nothing is found on it, which may be right."
        state = project.state(datastore)
        return {
            "id": image,
            "score": 1 - quality,
            "quality": quality,
            "label_quality": dict(by_label),
            "model": model,
            "reason": f"Its automatic mask{before} has the lowest quality of {len(judged)} ({quality:.2f}{which}): run "
            f"the segmentation and correct it.{empty}",
            "embedded": state.embedded,
            "pool": state.pool,
        }

    def _without_quality(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        model, _, to_come = self._project.qualities.progress(
            {image for image in self._project.embedded if image in waiting}
        )
        if model is None:
            why = "no model is trained yet"
        elif problem := self._project.qualities.problem:
            why = problem
        elif to_come:
            why = "the masks of the model are not judged yet"
        else:
            why = "the model has nothing to judge its masks by: train again"
        answer = self._xssr.choose(waiting, datastore)
        return {**answer, "reason": f"{answer['reason']} (XSSR picks, because {why}.)"}
