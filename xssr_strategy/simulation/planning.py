"""Before any training: which images each job annotates, and which trainings that takes."""

from __future__ import annotations

from collections.abc import Mapping
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
            trained_with=outcome.trained_with,
            cases=outcome.cases,
            dice=outcome.dice,
            hd95=outcome.hd95,
            overlays=outcome.overlays,
        )


def plan_jobs(experiment: Experiment, embedded: list[Embedded], out: Path) -> tuple[list[Planned], dict[str, str]]:
    """Select for every job, then pay for the labels.

    Args:
        experiment: what is compared.
        embedded: the pool as each encoder sees it; all hold the same images.
        out: folder of the simulation.

    Returns:
        The jobs that can run, in order, and name -> reason of those that cannot.
    """
    chosen = _select(experiment.without_labels(), embedded)
    return _annotate(experiment, chosen, out)


def _select(experiment: Experiment, embedded: list[Embedded]) -> dict[Job, tuple[tuple[str, ...], Selection | None]]:
    """The picks of every job, and why; none of ``source-only``."""
    protocol = experiment.protocol
    chosen: dict[Job, tuple[tuple[str, ...], Selection | None]] = {}
    known: dict[tuple[str, int, int, int], Selection] = {}
    count = protocol.seen(len(embedded[0].images))
    parts = [embedded[seed % len(embedded)].part(count, seed) for seed in range(experiment.seeds)]
    for job in experiment.jobs(len(parts[0].images)):
        seen = parts[job.seed]
        if job.strategy in (FULL, SOURCE_ONLY):
            chosen[job] = (seen.images if job.strategy == FULL else (), None)
            continue
        draws = job.draw if job.strategy == RANDOM else job.seed
        whole = protocol.share == 1.0
        key = (job.strategy, job.budget, draws, job.seed % len(embedded) if whole else job.seed)
        if key not in known:
            known[key] = RULES[job.strategy](draws).select(seen.target, job.budget, seen.source)
        chosen[job] = (tuple(seen.images[row] for row in known[key].indices), known[key])
    return chosen


def _annotate(
    experiment: Experiment, chosen: Mapping[Job, tuple[tuple[str, ...], Selection | None]], out: Path
) -> tuple[list[Planned], dict[str, str]]:
    annotator, source = Annotator(experiment.target), experiment.source
    expert = None if source is None else Annotator(source)
    learnt = experiment.source_pool()
    protocol = experiment.protocol
    cases = cases_of(experiment.test)
    planned: list[Planned] = []
    failed: dict[str, str] = {}
    for job, (picks, selection) in chosen.items():
        try:
            if job.strategy == SOURCE_ONLY:
                assert source is not None
                assert expert is not None
                pairs = expert.annotate([image for image in learnt if image in source.labels])
            else:
                pairs = annotator.annotate(picks)
            training = training_of(
                pairs,
                cases,
                protocol.preset,
                protocol.labels,
                protocol.recipe,
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
