"""Strategies that ask the segmentation model: ``entropy_diversity`` and ``auto``."""

from __future__ import annotations

from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore

from xssr_strategy.datastores.image_sets import labelled_of
from xssr_strategy.selection import EntropyDiversity
from xssr_strategy.tasks.cold_start import ColdStartStrategy
from xssr_strategy.tasks.pool_sets import OpenImages
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.strategy import PoolStrategy, XSSRStrategy


class EntropyDiversityStrategy(PoolStrategy):
    """Far from what is labelled, among the images that the model is least sure of (after Levy et al. 2026).

    The shortlist holds ``--conf shortlist`` times ``--conf round`` of the images that wait, and is made anew for each
    image handed out. Before there is a model the cold start picks.
    """

    def __init__(self, project: Project) -> None:
        super().__init__("Entropy and diversity: what the model is least sure of, spread out", project)
        self._cold_start = ColdStartStrategy(project)

    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """``id``, ``score``, ``entropy``, ``model``, ``reason``, ``embedded``, ``pool``; or what the cold start says.

        ``score`` is the distance to what is labelled or with annotators, ``entropy`` the mean predictive entropy in
        nats, and ``model`` the id of the model that found it.
        """
        project, settings = self._project, self._project.settings
        project.uncertainty.store.want("entropy_diversity")
        model, entropies = project.uncertainty.asked()
        images, vectors, _ = project.vectors()
        left = {image for image in images if image in entropies and image in waiting}
        if model is None or not left or project.uncertainty.problem:
            return self._without_model(waiting, datastore)
        by_entropy = sorted(left, key=lambda image: (-entropies[image], image))
        short = set(by_entropy[: settings.shortlist * settings.round])
        rows = [row for row, image in enumerate(images) if image in short or image not in waiting]
        known = [place for place, row in enumerate(rows) if images[row] not in waiting]
        entropy = [entropies.get(images[row], np.nan) for row in rows]
        selection = EntropyDiversity(entropy, len(short)).select(vectors[rows], 1, labeled=known)
        image = images[rows[int(selection.indices[0])]]
        rank = 1 + by_entropy.index(image)
        by = "the model" if model == project.uncertainty.model else "the model before the present one"
        apart = "and it is far from what is labelled" if known else "and nothing is labelled yet"
        state = project.state(datastore)
        return {
            "id": image,
            "score": float(selection.scores[0]),
            "entropy": entropies[image],
            "model": model,
            "reason": f"{by.capitalize()} is unsure of it (entropy {entropies[image]:.3f} nats, number {rank} of "
            f"{len(by_entropy)}), {apart}.",
            "embedded": state.embedded,
            "pool": state.pool,
        }

    def _without_model(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        if self._project.uncertainty.model is None:
            why = "no model is trained yet"
        elif problem := self._project.uncertainty.problem:
            why = problem
        else:
            why = "the model has not looked at the pool yet"
        answer = self._cold_start.choose(waiting, datastore)
        return {**answer, "reason": f"{answer['reason']} (The cold start picks, because {why}.)"}


class AutoStrategy(PoolStrategy):
    """The strategy of ``--conf auto_first`` up to ``--conf auto_labels`` labels, from then on entropy and diversity."""

    def __init__(self, project: Project) -> None:
        settings = project.settings
        super().__init__(
            f"Auto: {settings.auto_first} up to {settings.auto_labels} labels, then entropy_diversity", project
        )
        self._first = XSSRStrategy(project) if settings.auto_first == "xssr" else ColdStartStrategy(project)
        self._then = EntropyDiversityStrategy(project)

    def choose(self, waiting: OpenImages, datastore: Datastore) -> dict[str, Any]:
        """The answer of the strategy whose turn it is, whose name is in ``picked_by``.

        MONAI Label writes over ``strategy``.
        """
        project = self._project
        project.uncertainty.store.want("auto")
        labelled = len(labelled_of(datastore))
        unasked = project.uncertainty.asked()[0] is None  # no model, or none has looked at the pool yet
        first = labelled < project.settings.auto_labels or unasked
        chosen, name = (self._first, project.settings.auto_first) if first else (self._then, "entropy_diversity")
        return {**chosen.choose(waiting, datastore), "picked_by": name}
