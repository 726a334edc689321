"""A simulation from beginning to end: embed, select, train what is missing, report."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.pool.encoder_training import Progress, images_digest
from xssr_strategy.segmentation.methods.catalogue import encoder_of
from xssr_strategy.simulation.engines import Finished
from xssr_strategy.simulation.evaluation import read_case
from xssr_strategy.simulation.experiment import Experiment, cases_of
from xssr_strategy.simulation.planning import PlannedJob, Planner, PlanningRound, after_failure
from xssr_strategy.simulation.results import (
    REFINED,
    ExperimentInfo,
    JobResult,
    read_experiment_info,
    read_results,
    write_experiment_info,
    write_result,
)
from xssr_strategy.simulation.strategies import most_asked_for, said_by_network
from xssr_strategy.simulation.vectors import Embedding
from xssr_strategy.simulation.work import Outcome, Training, content_of

READING, TRAINING = "test cases", "training"
_REFINE_BY = "refine_by"

Engine = Callable[[Sequence[Training]], Generator[Finished, None, None]]


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        planner: selects for the rounds to come.
        first: what is known before any training of this run.
        facts: for the report.
        set_aside: id -> reason of the images of the pool that cannot be read.
    """

    planner: Planner
    first: PlanningRound
    facts: ExperimentInfo
    set_aside: Mapping[str, str]

    @property
    def jobs(self) -> list[PlannedJob]:
        """The jobs that can run at once."""
        return self.first.jobs


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
    embedding = Embedding(experiment.without_target_labels(), workspace)
    embedded = [embedding.make(number, progress) for number in range(experiment.protocol.encoders)]
    pool = embedded[0].images
    experiment.check_budgets(len(pool))
    facts = replace(
        facts,
        images={image: str(experiment.target.images[image]) for image in pool},
        sites=tuple(embedding.sites(embedded[0])),
    )
    _goes_on(out, facts, ("images",))
    write_experiment_info(out, _with_refinement_of_before(out, facts))
    begun_with = {name for method in experiment.methods if (name := encoder_of(method.removesuffix(REFINED)))}
    starts = {
        (name, number): embedding.encoder_start(name, number, progress)
        for name in sorted(begun_with)
        for number in range(experiment.protocol.encoders)
    }
    planner = Planner(experiment, embedded, out, starts)
    return Plan(planner, planner.plan(read_results(out)), facts, embedding.set_aside())


def run(plan: Plan, out: Path, engine: Engine, progress: Progress) -> dict[str, str]:
    """Train what has no result yet, round by round, and write each job's as soon as it is there.

    Args:
        plan: of :func:`plan`.
        out: folder of the results.
        engine: runs trainings.
        progress: called with (stage, done, total).

    Returns:
        Name -> reason of every job that could not be run.
    """
    wave, planned_before = plan.first, -1
    failed = dict(wave.failed)
    while len(wave.jobs) > planned_before:  # results let more be planned
        planned_before = len(wave.jobs)
        missing = _missing([one for one in wave.jobs if one.job.name not in failed], read_results(out), out)
        trainings = len({one.training.digest for one in wave.jobs})
        total, done = trainings + len(wave.later), trainings - len(missing)
        progress(TRAINING, done, total)
        for count, (digest, outcome) in enumerate(_run(missing, engine), start=done + 1):
            for planned in missing[digest]:
                if isinstance(outcome, str):
                    failed[planned.job.name] = outcome
                else:
                    write_result(out, planned.result(outcome))
            progress(TRAINING, count, total)
        wave = plan.planner.plan(read_results(out))
        failed |= wave.failed
    for job, earlier in wave.later.items():
        if earlier in failed:
            failed[job.name] = after_failure(earlier)
    return failed


def _missing(jobs: Sequence[PlannedJob], results: Sequence[JobResult], out: Path) -> dict[str, list[PlannedJob]]:
    """Digest -> jobs that take this training; what another job's training answers is written at once."""
    found: dict[tuple[str, bool], list[JobResult]] = {}
    for result in results:
        found.setdefault((result.training, result.job.refined), []).append(result)
    done = {result.job: result for result in results}
    missing: dict[str, list[PlannedJob]] = {}
    for planned in jobs:
        digest, before = planned.training.digest, done.get(planned.job)
        if before is not None and before.training == digest and _answers(before, planned):
            continue
        alike = found.get((digest, planned.job.refined), [])
        if answer := next((result for result in alike if _answers(result, planned)), None):
            write_result(out, planned.result(_outcome(answer)))
        else:
            missing.setdefault(digest, []).append(planned)
    return missing


def _answers(result: JobResult, planned: PlannedJob) -> bool:
    """Whether the result of a training tells all that a job wants of it."""
    if planned.training.features_of:
        return bool(result.features)
    return not planned.training.entropy_of or bool(said_by_network(result, planned.job.strategy))


def _run(missing: Mapping[str, list[PlannedJob]], engine: Engine) -> Generator[tuple[str, Outcome | str], None, None]:
    """Digest and outcome of every training."""
    trainings = [_for_all([one.training for one in jobs]) for jobs in missing.values()]
    with closing(engine(trainings)) as finished:  # whatever happens, its processes end here
        for training, outcome in finished:
            yield training.digest, outcome


def _for_all(alike: Sequence[Training]) -> Training:
    """One that finds what any of them is to find."""
    refine_by = next((one.refine_by for one in alike if one.refine_by is not None), None)
    return replace(
        alike[0],
        refine_by=refine_by,
        entropy_of=max((one.entropy_of for one in alike), key=len),
        features_of=max((one.features_of for one in alike), key=len),
    )


def _outcome(result: JobResult) -> Outcome:
    return Outcome(
        seconds=0.0,
        trained_with=result.trained_with,
        cases=result.cases,
        dice=result.dice,
        hd95=result.hd95,
        overlays=result.overlays,
        entropies=result.entropies,
        features=result.features,
        asd=result.asd,
        remarks=result.remarks,
        refined=(result.dice, result.hd95, result.asd) if result.job.refined else None,
    )


def _facts_before(experiment: Experiment, command: str) -> ExperimentInfo:
    """What is known before any vector: no images and no sites."""
    source, protocol = experiment.source, experiment.protocol
    return ExperimentInfo(
        command=command,
        source=None if source is None else source.name,
        target=experiment.target.name,
        test=None if experiment.test is experiment.target else experiment.test.name,
        labels=protocol.labels,
        unit="mm" if protocol.preset.spatial_dims == 3 else "pixels",
        images={},
        sites=(),
        default=most_asked_for(experiment.strategies),
        methods=experiment.methods,
        patients={
            case: patient
            for case in sorted(experiment.test.test)
            if (patient := experiment.test.patients[case]) != case
        },
        kinds=dict(sorted({**experiment.target.kinds, **experiment.test.kinds}.items())),
        settings={
            **protocol.described(),
            "source_images": images_digest(experiment.source_pool())[:10] if source is not None else None,
            "test_cases": content_of(cases_of(experiment.test, protocol.labels)),
        },
    )


def _read_cases(experiment: Experiment, progress: Progress) -> None:
    """Every test case once, so that one that cannot be used costs no training.

    Raises:
        UserError: there is one.
    """
    cases = cases_of(experiment.test, experiment.protocol.labels)
    for number, case in enumerate(cases.values(), start=1):
        read_case(case, experiment.protocol.preset, experiment.protocol.labels)
        progress(READING, number, len(cases))


def _goes_on(out: Path, facts: ExperimentInfo, names: Sequence[str]) -> bool:
    """Whether ``out`` holds results to go on with; those of another protocol or of other images are not mixed in.

    Args:
        facts: what is asked for now.
        names: the facts that must be the same.

    Raises:
        UserError: one is not.
    """
    if not any((out / "jobs").glob("*.json")):
        return False
    before = read_experiment_info(out)
    if before.images.keys() == facts.images.keys():
        before = replace(before, images=facts.images)  # wherever they lie now; the trainings know what is in them
    before, facts = _same_refinement(before, facts)
    for name in names:
        if getattr(before, name) != getattr(facts, name):
            raise UserError(f"--out {out}: holds results of {_difference(name, before, facts)}; name another folder.")
    return True


def _with_refinement_of_before(out: Path, facts: ExperimentInfo) -> ExperimentInfo:
    """The facts, with what refined the masks that lie there already, so that no other weights are mixed in later."""
    if _REFINE_BY in facts.settings or not any((out / "jobs").glob("*.json")):
        return facts
    before = read_experiment_info(out).settings.get(_REFINE_BY)
    return facts if before is None else replace(facts, settings={**facts.settings, _REFINE_BY: before})


def _same_refinement(before: ExperimentInfo, now: ExperimentInfo) -> tuple[ExperimentInfo, ExperimentInfo]:
    """Without what refines, unless both name it: refined masks are judged beside the others and change nothing."""
    if all(_REFINE_BY in facts.settings for facts in (before, now)):
        return before, now
    plain = [{key: value for key, value in facts.settings.items() if key != _REFINE_BY} for facts in (before, now)]
    return replace(before, settings=plain[0]), replace(now, settings=plain[1])


def _difference(name: str, before: ExperimentInfo, now: ExperimentInfo) -> str:
    if name == "images":
        return f"a pool of other images ({len(before.images)} there, {len(now.images)} now)"
    if name == "settings":
        either = dict.fromkeys([*now.settings, *before.settings])
        keys = [key for key in either if before.settings.get(key) != now.settings.get(key)]
        return f"other settings ({', '.join(key.replace('_', ' ') for key in keys)})"
    return f"{name} {getattr(before, name)}, not {getattr(now, name)}"
