"""A simulation from beginning to end: embed, select, train what is missing, report."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.simulation.engines import Finished
from xssr_strategy.simulation.experiment import Experiment, cases_of
from xssr_strategy.simulation.planning import Planned, plan_jobs
from xssr_strategy.simulation.results import Facts, JobResult, read_facts, read_results, write_facts, write_result
from xssr_strategy.simulation.strategies import most_asked_for
from xssr_strategy.simulation.training import read_case
from xssr_strategy.simulation.vectors import Embedding
from xssr_strategy.simulation.work import Outcome, Training, content_of
from xssr_strategy.worklist import Progress, images_digest

READING, TRAINING = "test cases", "training"

Engine = Callable[[Sequence[Training]], Generator[Finished, None, None]]


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        jobs: every job that can run.
        failed: name -> reason of those that cannot.
        facts: for the report.
        set_aside: id -> reason of the images of the pool that cannot be read.
    """

    jobs: tuple[Planned, ...]
    failed: Mapping[str, str]
    facts: Facts
    set_aside: Mapping[str, str]


def plan(experiment: Experiment, out: Path, workspace: Path, command: str, progress: Progress) -> Plan:
    """Embed the pool, select for every job, and write down the facts.

    Args:
        experiment: what is compared.
        out: folder of the results; one that holds results of the same protocol is added to.
        workspace: folder of encoders and vectors.
        command: as it was typed.
        progress: called with (stage, done, total).

    Raises:
        UserError: the experiment cannot be run, a test case cannot be used, or ``out`` holds another one.
    """
    experiment.check()
    facts = _facts_before(experiment, command)
    if not _goes_on(out, facts, ("source", "target", "test", "labels", "settings")):
        _read_cases(experiment, progress)
    embedding = Embedding(experiment.without_labels(), workspace)
    embedded = [embedding.make(number, progress) for number in range(experiment.protocol.encoders)]
    pool = embedded[0].images
    experiment.check_budgets(len(pool))
    facts = replace(
        facts,
        images={image: str(experiment.target.images[image]) for image in pool},
        sites=tuple(embedding.sites(embedded[0])),
    )
    _goes_on(out, facts, ("images",))
    write_facts(out, facts)
    jobs, failed = plan_jobs(experiment, embedded, out)
    return Plan(tuple(jobs), failed, facts, embedding.set_aside())


def run(plan: Plan, out: Path, engine: Engine, progress: Progress, part: tuple[int, int] = (1, 1)) -> dict[str, str]:
    """Train what has no result yet, and write each job's as soon as it is there.

    Args:
        plan: of :func:`plan`.
        out: folder of the results.
        engine: runs trainings.
        progress: called with (stage, done, total).
        part: (k, n) to run the k-th of n parts alone.

    Returns:
        Name -> reason of every job that could not be run.
    """
    results = read_results(out)
    found = {result.training: _outcome(result) for result in results}
    done = {result.job: result.training for result in results}
    trainings = list({planned.training.digest: planned.training for planned in plan.jobs}.values())
    mine = trainings[part[0] - 1 :: part[1]]
    waiting: dict[str, list[Planned]] = {training.digest: [] for training in mine}
    for planned in plan.jobs:
        digest = planned.training.digest
        if digest in waiting and done.get(planned.job) != digest:
            if digest in found:
                write_result(out, planned.result(found[digest]))
            else:
                waiting[digest].append(planned)
    failed = dict(plan.failed)
    todo = [training for training in mine if waiting[training.digest]]
    progress(TRAINING, len(mine) - len(todo), len(mine))
    with closing(engine(todo)) as finished:  # whatever happens, its processes end here
        for count, (training, outcome) in enumerate(finished, start=1):
            for planned in waiting[training.digest]:
                if isinstance(outcome, str):
                    failed[planned.job.name] = outcome
                else:
                    write_result(out, planned.result(outcome))
            progress(TRAINING, len(mine) - len(todo) + count, len(mine))
    return failed


def _outcome(result: JobResult) -> Outcome:
    return Outcome(0.0, result.trained_with, result.cases, result.dice, result.hd95, result.overlays)


def _facts_before(experiment: Experiment, command: str) -> Facts:
    """What is known before any vector: no images and no sites."""
    source, protocol = experiment.source, experiment.protocol
    return Facts(
        command=command,
        source=None if source is None else source.name,
        target=experiment.target.name,
        test=None if experiment.test is experiment.target else experiment.test.name,
        labels=protocol.labels,
        unit="mm" if protocol.preset.spatial_dims == 3 else "pixels",
        images={},
        sites=(),
        default=most_asked_for(experiment.strategies),
        settings={
            **protocol.described(),
            "source_images": images_digest(experiment.source_pool())[:10] if source is not None else None,
            "test_cases": content_of(cases_of(experiment.test)),
        },
    )


def _read_cases(experiment: Experiment, progress: Progress) -> None:
    """Every test case once, so that one that cannot be used costs no training.

    Raises:
        UserError: there is one.
    """
    cases = cases_of(experiment.test)
    for number, case in enumerate(cases.values(), start=1):
        read_case(case, experiment.protocol.preset, experiment.protocol.labels)
        progress(READING, number, len(cases))


def _goes_on(out: Path, facts: Facts, names: Sequence[str]) -> bool:
    """Whether ``out`` holds results to go on with; those of another protocol or of other images are not mixed in.

    Args:
        facts: what is asked for now.
        names: the facts that must be the same.

    Raises:
        UserError: one is not.
    """
    if not any((out / "jobs").glob("*.json")):
        return False
    before = read_facts(out)
    if before.images.keys() == facts.images.keys():
        before = replace(before, images=facts.images)  # wherever they lie now; the trainings know what is in them
    for name in names:
        if getattr(before, name) != getattr(facts, name):
            raise UserError(f"--out {out}: holds results of {_difference(name, before, facts)}; name another folder.")
    return True


def _difference(name: str, before: Facts, now: Facts) -> str:
    if name == "images":
        return f"a pool of other images ({len(before.images)} there, {len(now.images)} now)"
    if name == "settings":
        keys = [key for key in now.settings if key not in before.settings or before.settings[key] != now.settings[key]]
        return f"other settings ({', '.join(key.replace('_', ' ') for key in keys)})"
    return f"{name} {getattr(before, name)}, not {getattr(now, name)}"
