"""Before any training: which images each job annotates, and which trainings that takes.

A job of a strategy that asks a network waits for its result: of the round before, or of ``source-only``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.data import some_images
from xssr_strategy.segmentation.methods.catalogue import AUTO, chosen_method, encoder_of, may_use_unlabelled
from xssr_strategy.simulation.annotator import SimulatedAnnotator, holding_anything
from xssr_strategy.simulation.choosing import JobPicks, JobSelector
from xssr_strategy.simulation.experiment import Experiment, cases_of
from xssr_strategy.simulation.results import Job, JobResult
from xssr_strategy.simulation.strategies import (
    FULL,
    OF_SOURCE,
    SOURCE_NETWORK,
    SOURCE_ONLY,
    SOURCE_XSSR,
    asks_features,
    said_by_network,
)
from xssr_strategy.simulation.vectors import Embedded
from xssr_strategy.simulation.work import EncoderStart, Outcome, Training, training_of


@dataclass(frozen=True)
class PlannedJob:
    """A job whose labels are paid for.

    Attributes:
        job: which one.
        choice: which images, and why.
        training: what it takes; jobs with the same picks and seed share it.
    """

    job: Job
    choice: JobPicks
    training: Training

    @property
    def falls_back(self) -> bool:
        """Whether another method trains than the one asked for, because it has no unlabelled image."""
        return self.job.training_method not in (AUTO, self.training.method)

    def result(self, outcome: Outcome) -> JobResult:
        """The row of the table."""
        why = self.choice.selection
        dice, hd95, asd = outcome.dice, outcome.hd95, outcome.asd
        if self.job.refined:
            assert outcome.refined is not None
            dice, hd95, asd = outcome.refined
        return JobResult(
            job=self.job,
            picks=self.choice.picks,
            alpha=None if why is None else why.alpha,
            calibration=() if why is None else why.calibration,
            mean_coverage=None if why is None else why.mean_coverage,
            max_coverage=None if why is None else why.max_coverage,
            training=self.training.digest,
            steps=self.training.steps,
            seconds=outcome.seconds,
            trained_with=outcome.trained_with,
            cases=outcome.cases,
            dice=dice,
            hd95=hd95,
            overlays=outcome.overlays,
            entropies=outcome.entropies if self.training.entropy_of else {},
            features=outcome.features if self.training.features_of else {},
            asd=asd,
            remarks=outcome.remarks,
        )


@dataclass
class PlanningRound:
    """What can be planned with the results that there are.

    Attributes:
        jobs: those that can run, in order.
        failed: name -> reason of those that cannot.
        later: those that wait for the result of another, and the name of that.
    """

    jobs: list[PlannedJob] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    later: dict[Job, str] = field(default_factory=dict)


class Planner:
    """Selects for every job, then pays for the labels.

    Args:
        experiment: what is compared.
        embedded: the pool as each encoder sees it; all hold the same images.
        out: folder of the simulation.
        starts: (name, number) -> encoder with whose weights the trainings of some methods begin.
    """

    def __init__(
        self,
        experiment: Experiment,
        embedded: list[Embedded],
        out: Path,
        starts: Mapping[tuple[str, int], EncoderStart],
    ) -> None:
        self._experiment = experiment
        labels = experiment.protocol.labels
        self._selector = JobSelector(
            experiment.without_labels(),
            embedded,
            partial(holding_anything, experiment.target, experiment.protocol.preset, labels),
        )
        self._annotator = SimulatedAnnotator(experiment.target, labels)
        self._expert = None if experiment.source is None else SimulatedAnnotator(experiment.source, labels)
        self._out, self._starts = out, starts
        self.jobs = experiment.jobs(self._selector.pool)

    def plan(self, results: Sequence[JobResult] = ()) -> PlanningRound:
        """Every job that can be planned.

        Args:
            results: those that are there; of a round whose labels have changed since, the result does not count.
        """
        found = {result.job: result for result in results}
        choices: dict[Job, JobPicks] = {}
        trainings: dict[Job, str] = {}
        wave = PlanningRound()
        for job in sorted(self.jobs, key=lambda job: job.strategy not in OF_SOURCE):  # others may ask their networks
            earlier = self._experiment.round_before(job)
            before = None if earlier is None else choices.get(earlier)
            said: Mapping[str, tuple[float, ...]] = {}
            if earlier is not None and before is None:
                self._follow(wave, job, earlier)
                continue
            if self._selector.needs_network(job, before):
                asked = replace(job, strategy=SOURCE_ONLY, budget=0) if job.strategy == SOURCE_NETWORK else earlier
                assert asked is not None
                result = found.get(asked)
                if asked.name in wave.failed:
                    self._follow(wave, job, asked)
                    continue
                if result is None or result.training != trainings[asked] or not said_by_network(result, job.strategy):
                    wave.later[job] = asked.name
                    continue
                said = said_by_network(result, job.strategy)
            choices[job] = self._selector.choose(job, before, said)
            try:
                training = self._training(job, choices[job])
            except UserError as error:
                wave.failed[job.name] = str(error)
                continue
            trainings[job] = training.digest
            wave.jobs.append(PlannedJob(job, choices[job], training))
        return wave

    @staticmethod
    def _follow(wave: PlanningRound, job: Job, earlier: Job) -> None:
        """A job whose round before waits waits, too, and fails with it."""
        if earlier.name in wave.failed:
            wave.failed[job.name] = after_failure(earlier.name)
        else:
            wave.later[job] = earlier.name

    def _training(self, job: Job, choice: JobPicks) -> Training:
        experiment = self._experiment
        protocol = experiment.protocol
        if job.strategy in OF_SOURCE:
            assert self._expert is not None
            pairs = self._expert.annotate(self._from_source(job))
        else:
            pairs = self._annotator.annotate(choice.picks)
        unlabelled = self._unlabelled(job, choice) if may_use_unlabelled(job.training_method) else {}
        of_target = 0 if job.strategy in OF_SOURCE else len(pairs)
        method = chosen_method(job.training_method, of_target, len(unlabelled), protocol.preset.spatial_dims)
        asked_by = self._asked_by(job, choice)
        return training_of(
            pairs=pairs,
            cases=cases_of(experiment.test, protocol.labels),
            preset=protocol.preset,
            labels=protocol.labels,
            method=method,
            recipe=protocol.recipe,
            steps=protocol.full_steps if job.strategy == FULL else protocol.steps,
            seed=job.seed,
            threads=protocol.threads,
            out=self._out,
            unlabelled=unlabelled if may_use_unlabelled(method) else {},
            min_spacing=protocol.min_spacing,
            entropy_of=self._selector.left(job, choice) if asked_by and not asks_features(asked_by) else {},
            features_of=self._selector.seen(job) if asked_by and asks_features(asked_by) else {},
            encoder=self._start(method, job.seed),
            refine_by=protocol.refine_by if job.refined else None,
        )

    def _asked_by(self, job: Job, choice: JobPicks) -> str | None:
        """The strategy that asks the network of this job, if one does."""
        if job.strategy == SOURCE_ONLY and SOURCE_NETWORK in self._experiment.strategies:
            return SOURCE_NETWORK
        following = self._experiment.round_after(job)
        if following is None or job.strategy == SOURCE_NETWORK:
            return None
        return job.strategy if self._selector.needs_network(following, choice) else None

    def _start(self, method: str, seed: int) -> EncoderStart | None:
        name = encoder_of(method)
        return None if name is None else self._starts[name, seed % self._experiment.protocol.encoders]

    def _unlabelled(self, job: Job, choice: JobPicks) -> dict[str, Path]:
        """id -> file of what a training may learn from without a label: of the job's pool, and of the source."""
        paid = set(self._from_source(job)) if job.strategy in OF_SOURCE else set()
        learnt = {f"{SOURCE} {image}": f for image, f in self._experiment.source_pool().items() if image not in paid}
        left = {f"{TARGET} {image}": f for image, f in self._selector.left(job, choice).items()}
        return some_images({**left, **learnt}, self._experiment.protocol.unlabelled, job.seed)

    def _from_source(self, job: Job) -> list[str]:
        """Images of the source whose labels a job has that annotates nothing of the target."""
        source, wanted = self._experiment.source, self._experiment.protocol.from_labels
        assert source is not None
        labelled = {image: path for image, path in self._experiment.source_pool().items() if image in source.labels}
        if wanted is None:
            return list(labelled)
        if job.strategy == SOURCE_XSSR:
            return self._selector.from_source(job, labelled, wanted)
        return list(some_images(labelled, wanted, job.seed))


def after_failure(earlier: str) -> str:
    """Why a job cannot run that needs another, such as the round before it."""
    return f"it needs {earlier}, which could not be run."
