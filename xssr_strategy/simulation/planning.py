"""Before any training: which images each job annotates, and which trainings that takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.selection import Selection
from xssr_strategy.simulation.annotator import Annotator
from xssr_strategy.simulation.experiment import Experiment, cases_of
from xssr_strategy.simulation.results import Job, JobResult
from xssr_strategy.simulation.strategies import FULL, RANDOM, RULES, SOURCE_ONLY
from xssr_strategy.simulation.vectors import Embedded
from xssr_strategy.simulation.work import Outcome, Training, training_of


@dataclass(frozen=True)
class Planned:
    """A job whose labels are paid for.

    Attributes:
        job: which one.
        picks: ids in pick order.
        selection: why; None for ``full`` and ``source-only``.
        training: what it takes; jobs with the same picks and seed share it.
    """

    job: Job
    picks: tuple[str, ...]
    selection: Selection | None
    training: Training

    def result(self, outcome: Outcome) -> JobResult:
        """The row of the table."""
        why = self.selection
        return JobResult(
            job=self.job,
            picks=self.picks,
            alpha=None if why is None else why.alpha,
            calibration=() if why is None else why.calibration,
            mean_coverage=None if why is None else why.mean_coverage,
            max_coverage=None if why is None else why.max_coverage,
            training=self.training.digest,
            steps=self.training.steps,
            seconds=outcome.seconds,
            cases=outcome.cases,
            dice=outcome.dice,
            hd95=outcome.hd95,
            overlays=outcome.overlays,
        )


def plan_jobs(experiment: Experiment, embedded: list[Embedded], out: Path) -> tuple[list[Planned], dict[str, str]]:
    """Select for every job and pay for its labels.

    Args:
        experiment: what is compared.
        embedded: the pool as each encoder sees it; all hold the same images.
        out: folder of the simulation.

    Returns:
        The jobs that can run, in order, and name -> reason of those that cannot.
    """
    annotator = Annotator(experiment.target)
    source = experiment.source
    expert = None if source is None else Annotator(source)
    cases = cases_of(experiment.test)
    protocol = experiment.protocol
    planned: list[Planned] = []
    failed: dict[str, str] = {}
    known: dict[tuple[str, int, int, int], Selection] = {}
    count = protocol.seen(len(embedded[0].images))
    parts = [embedded[seed % len(embedded)].part(count, seed) for seed in range(experiment.seeds)]
    for job in experiment.jobs(len(parts[0].images)):
        seen = parts[job.seed]
        selection = None
        if job.strategy not in (FULL, SOURCE_ONLY):
            draws = job.draw if job.strategy == RANDOM else job.seed
            whole = protocol.share == 1.0
            key = (job.strategy, job.budget, draws, job.seed % len(embedded) if whole else job.seed)
            if key not in known:
                known[key] = RULES[job.strategy](draws).select(seen.target, job.budget, seen.source)
            selection = known[key]
        picks = seen.images if selection is None else tuple(seen.images[row] for row in selection.indices)
        try:
            if job.strategy == SOURCE_ONLY:
                assert source is not None
                assert expert is not None
                picks, pairs = (), expert.annotate([image for image in source.pool if image in source.labels])
            else:
                pairs = annotator.annotate(picks)
            training = training_of(
                pairs,
                cases,
                protocol.preset,
                protocol.labels,
                protocol.full_steps if job.strategy == FULL else protocol.steps,
                job.seed,
                protocol.threads,
                out,
            )
        except UserError as error:
            failed[job.name] = str(error)
            continue
        planned.append(Planned(job, picks, selection, training))
    return planned, failed
