"""Which images a job annotates: by vectors, and by what networks trained before said of the pool.

No label decides, but for the yardstick ``random:foreground``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.embedding.standardise import standardise
from xssr_strategy.selection import Random, Selection, beside_network, select_source
from xssr_strategy.selection.catalogue import MODEL_BASED, RANDOM, SELECTORS
from xssr_strategy.selection.xssr import XSSR
from xssr_strategy.simulation.experiment import Experiment
from xssr_strategy.simulation.results import Job
from xssr_strategy.simulation.strategies import (
    FULL,
    OF_SOURCE,
    PER_PATIENT,
    PER_SITE,
    RANDOM_FOREGROUND,
    SOURCE_NETWORK,
    asks_the_network,
)
from xssr_strategy.simulation.vectors import Embedded


@dataclass(frozen=True)
class JobPicks:
    """What a job annotates.

    Attributes:
        picks: ids in pick order, those of earlier rounds first.
        selection: why those of the last round; None for ``full`` and strategies of the source.
    """

    picks: tuple[str, ...]
    selection: Selection | None


class JobSelector:
    """Selects for one job after the other; what two jobs have in common is done once.

    Args:
        experiment: without the places of its labels.
        embedded: the pool as each encoder sees it; all hold the same images.
        foreground: gives the images whose label holds anything, for the one strategy that is told.
    """

    def __init__(
        self, experiment: Experiment, embedded: list[Embedded], foreground: Callable[[], frozenset[str]] = frozenset
    ) -> None:
        self._experiment, self._foreground = experiment, cache(foreground)
        self._encoders = len(embedded)
        count = experiment.protocol.seen(len(embedded[0].images))
        self._parts = [embedded[seed % len(embedded)].part(count, seed) for seed in range(experiment.seeds)]
        self._known: dict[tuple[object, ...], Selection] = {}

    @property
    def pool(self) -> int:
        """Images that a seed sees."""
        return len(self._parts[0].images)

    def needs_network(self, job: Job, before: JobPicks | None) -> bool:
        """Whether the picks of a job depend on the network of the round before."""
        return asks_the_network(job.strategy, 0 if before is None else len(before.picks))

    def seen(self, job: Job) -> dict[str, Path]:
        """id -> file of every image of the pool that a job may annotate."""
        images = self._experiment.target.images
        return {image: images[image] for image in self._parts[job.seed].images}

    def left(self, job: Job, choice: JobPicks) -> dict[str, Path]:
        """As :meth:`seen`, of those that a job has not annotated."""
        picked = set(choice.picks)
        return {image: file for image, file in self.seen(job).items() if image not in picked}

    def from_source(self, job: Job, labelled: Collection[str], count: int) -> list[str]:
        """The labelled images of the source that XSSR would have of its picks of the target, ``count`` of them.

        One that could not be embedded is not among them.
        """
        seen = self._parts[job.seed]
        assert seen.source is not None
        rows = [row for row, image in enumerate(seen.source_images) if image in labelled]
        chosen = select_source(seen.target, seen.source[rows], min(count, len(rows)))
        return [seen.source_images[rows[row]] for row in chosen]

    def choose(self, job: Job, before: JobPicks | None, said: Mapping[str, tuple[float, ...]]) -> JobPicks:
        """The picks of a job.

        Args:
            before: what the round before annotated; None in the first.
            said: by the network, if the job :meth:`needs_network`, of every image that it asks about.
        """
        seen = self._parts[job.seed]
        if job.strategy in (FULL, *OF_SOURCE):
            return JobPicks(seen.images if job.strategy == FULL else (), None)
        if job.strategy in (RANDOM, RANDOM_FOREGROUND):  # a larger number extends the smaller: rounds change nothing
            before = None
        earlier = () if before is None else before.picks
        draw = job.draw if job.strategy == RANDOM else job.seed
        whole = self._experiment.protocol.share == 1.0
        network = (job.seed, job.method) if self.needs_network(job, before) else None
        key = (job.strategy, job.budget, draw, job.seed % self._encoders if whole else job.seed, earlier, network)
        if key not in self._known:
            row = {image: row for row, image in enumerate(seen.images)}
            labelled = [row[image] for image in earlier]
            select = self._rule(job, draw, seen, None if network is None else said)
            self._known[key] = select(seen.target, job.budget - len(earlier), seen.source, labelled)
        selection = self._known[key]
        return JobPicks((*earlier, *(seen.images[row] for row in selection.indices)), selection)

    def _rule(
        self, job: Job, draw: int, seen: Embedded, said: Mapping[str, tuple[float, ...]] | None
    ) -> Callable[..., Selection]:
        """How a strategy selects, by what the network has ``said`` if it asks it."""
        strategy = job.strategy
        groups = {PER_PATIENT: self._experiment.target.patients, PER_SITE: self._experiment.target.sites}
        if strategy in groups:
            return partial(XSSR().select, groups=[groups[strategy][image] for image in seen.images])
        if strategy == RANDOM_FOREGROUND:
            foreground = self._foreground()
            return Random(draw, np.array([image in foreground for image in seen.images])).select
        if said is None:
            return SELECTORS[strategy if strategy in SELECTORS else MODEL_BASED[strategy].first](draw).select
        told = np.array(list(said.values()))
        if strategy == SOURCE_NETWORK:
            average = tuple(told.mean(axis=0))  # of an image that the network cannot read
            vectors, _ = standardise(np.array([said.get(image, average) for image in seen.images]), None)
            return lambda target, budget, source, labelled: XSSR().select(vectors, budget, labeled=labelled)
        model_based = MODEL_BASED[strategy]
        # Of labelled images no entropy is told, and one that the network cannot read is nobody's worry: it has none.
        # Its features, if these are asked for, are those of the average image.
        missing = tuple(told.mean(axis=0) if model_based.then is None else np.zeros(told.shape[1]))
        values = np.array([said.get(image, missing) for image in seen.images])
        if model_based.then is not None:
            return model_based.then(values, self._experiment.progress(job), draw).select
        selector = SELECTORS[model_based.first](draw)

        def select(target: NDArray[np.float64], budget: int, source: object, labelled: list[int]) -> Selection:
            return selector.select(beside_network(target, values), budget, labeled=labelled)

        return select
