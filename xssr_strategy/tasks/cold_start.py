"""Strategy ``cold_start``: clusters of the pool, and images from every one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monailabel.interfaces.datastore import Datastore

from xssr_strategy.pool.cold_start_plan import ColdStartPlan
from xssr_strategy.tasks.pool_sets import OpenImages
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.strategy import PoolStrategy


class ColdStartStrategy(PoolStrategy):
    """Medoids of clusters, then farthest points in proportion; the scoring finds the clusters (Levy et al. 2026)."""

    def __init__(self, project: Project) -> None:
        super().__init__("Cold start: the centre of every cluster of the pool, then what is far from it", project)
        self._plan: ColdStartPlan | None = None

    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """``id``, ``score``, ``rank``, ``cluster``, ``clusters``, ``reason``, ``embedded``, ``pool``.

        ``score`` is the share of the pool that is in the cluster.
        """
        plan = self._planned(waiting)
        if plan is None:
            return self.at_random(waiting, datastore, self._not_planned_yet(datastore))
        image = next((image for image in plan.picks if image in waiting), None)
        if image is None:
            return self.at_random(waiting, datastore, "the images left are new and in no cluster yet")
        state, cluster = self._project.state(datastore), plan.cluster[image]
        return {
            "id": image,
            "score": plan.clusters.count(cluster) / len(plan.images),
            "rank": len(plan.labelled) + plan.picks.index(image) + 1,
            "cluster": cluster + 1,
            "clusters": len(set(plan.clusters)),
            "reason": plan.reason(image),
            "embedded": state.embedded,
            "pool": state.pool,
        }

    def _planned(self, waiting: OpenImages) -> ColdStartPlan | None:
        """The picks that were planned, as long as labels come as they say."""
        found = self._project.cold_start
        if found is None:
            return None
        plan = self._plan
        if plan is None or replace(plan, labelled=found.labelled, picks=found.picks) != found:
            plan = found
        self._plan = plan.after({image for image in found.images if image not in waiting})
        return self._plan

    def _not_planned_yet(self, datastore: Datastore) -> str:
        if self._project.ranking is None:
            return self._not_ranked_yet(datastore)
        return "the clusters of the pool are not found yet"
