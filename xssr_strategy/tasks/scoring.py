"""Scoring method ``xssr``: brings encoder, vectors and worklist up to date in the background."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from xssr_strategy.datastores.image_sets import labelled_of
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.errors import UserError, printable
from xssr_strategy.pool import cold_start_plan, pipeline
from xssr_strategy.tasks.progress_reporter import ProgressReporter
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)


class XSSRScoring(ScoringMethod):
    """Trains the encoder if there is none, embeds what is new, ranks the pool, and finds its clusters.

    MONAI Label runs it after start-up, after each next sample and after each training; a run with
    nothing new ends at once.

    Args:
        project: settings, workspace and store.
        datastore: of the server, for :meth:`info`.
    """

    def __init__(self, project: Project, datastore: Datastore) -> None:
        super().__init__("XSSR: encoder, embeddings and ranking of the pool")
        self._project = project
        self._datastore = datastore

    def info(self) -> dict[str, Any]:
        """State of the work: state, embedded, pool, failed, encoder, progress, and why images failed."""
        state = asdict(self._project.state(self._datastore))
        return {"description": self.description, **state, "reasons": dict(self._project.failed)}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """One run; the answer is the state after it, or the sentence that says why it could not end."""
        project = self._project
        progress = ProgressReporter(project, logger)
        try:
            project.fetch(progress)
            pool = project.pool(datastore)
            if project.encoder is not None:
                gone = (project.embedded | project.failed.keys()) - set(datastore.list_images())
                project.store.forget(TARGET, project.encoder, gone)
            ranking = pipeline.update(
                pool,
                labelled_of(datastore),
                project.settings,
                project.preset,
                project.workspace,
                project.store,
                progress,
                project.archive,
            )
        except UserError as error:
            logger.error("Scoring stopped: %s", error)
            project.report_end(str(error))
            return {"error": str(error)}
        for image, reason in project.failed.items():
            logger.warning("Set aside: %s: %s", printable(image), reason)
        project.report_end()
        cold_start_plan.update(ranking.encoder, pool, project.settings, project.store)
        state = project.state(datastore)
        logger.info("Scoring done: %d of %d images embedded, alpha %.1f.", state.embedded, state.pool, ranking.alpha)
        return {**asdict(state), "alpha": ranking.alpha}
