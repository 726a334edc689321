"""Scoring method ``map``: lays the images out for the map, in the background."""

from __future__ import annotations

import logging
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from xssr_strategy.datastores.image_sets import images_of
from xssr_strategy.errors import UserError
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.cold_start_plan import read_plan
from xssr_strategy.pool_map import layout, pictures
from xssr_strategy.tasks.project import Project

logger = logging.getLogger(__name__)


class MapScoring(ScoringMethod):
    """Places for new images on the map, and pictures of those that were embedded before pictures were kept.

    It is a method of its own, so that nobody who waits for the worklist waits for the map.

    Args:
        project: settings, workspace and store.
    """

    def __init__(self, project: Project) -> None:
        super().__init__("Map of the pool: where each image lies among the others")
        self._project = project
        self._not_due: tuple[str, tuple[int, str], str, frozenset[str]] | None = None

    def is_due(self, datastore: Datastore) -> bool:
        """Whether a run would find something to do; costs nothing while no vector and no place changes."""
        project = self._project
        encoder, images = project.encoder, images_of(datastore)
        if encoder is None or project.ranking is None:
            return False
        now = encoder, project.store.vectors_mark(), layout.layout_mark(project.store), images
        if now != self._not_due and layout.is_due(project.store, encoder, images, project.settings):
            return True
        self._not_due = now
        return False

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """One run; the answer tells how many images have a place, or the sentence that says why it could not end."""
        project = self._project
        encoder = project.encoder
        if encoder is None:
            logger.info("No encoder is trained yet: nothing to lay out.")
            return {"images": 0}
        try:
            images = datastore.list_images()
            places = layout.update(project.store, encoder, images, project.settings, read_plan(project.store))
            thumbnails = ThumbnailStore(project.workspace.thumbnails)
            source = pipeline.source_images(project.settings)
            pool = project.pool(datastore)
            made = pictures.complete(pool, source, project.preset, encoder, project.store, thumbnails)
        except UserError as error:
            logger.error("The map could not be made: %s", error)
            return {"error": str(error)}
        logger.info("Map: %d images have a place, %d pictures were missing.", len(places.images), made)
        return {"images": len(places.images)}
