"""``xssr simulate``: does a strategy beat picking at random, on images like yours?"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import shlex
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from xssr_strategy.commands.outputs import make_folder
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.commands.simulate_options import add_options
from xssr_strategy.embedding.encoder import TrainedEncoder, build_encoder, is_foundation
from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import detect_preset, preset_by_name
from xssr_strategy.images.journal import ReadingJournal
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.segmentation.methods.catalogue import parse_methods
from xssr_strategy.selection.budget import Budget, parse_budget
from xssr_strategy.settings import Settings, parse_labels, parse_settings
from xssr_strategy.simulation.domains import Domain, held_out, read_domain, without_label
from xssr_strategy.simulation.engines import run_locally, run_on_ray
from xssr_strategy.simulation.experiment import Experiment, Protocol, workspace_of
from xssr_strategy.simulation.pool_recipe import read_recipe, refuse_source_in_pool
from xssr_strategy.simulation.remarks import trainings_by_remark
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.results import REFINED, read_experiment_info, read_results
from xssr_strategy.simulation.simulate import Plan, plan, run
from xssr_strategy.simulation.statistics import count, verdicts
from xssr_strategy.simulation.strategies import parse_strategies

_ENCODER = ("encoder", "encoder_weights", "encoder_slices", "encoder_pooling")
_SHOWN = 10  # reasons and sentences of one kind that the terminal shows


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "simulate",
        help="compare strategies on a labelled set, whose labels play the annotator",
        allow_abbrev=False,  # the report quotes the command, which later versions are to understand
    )
    add_options(parser)
    parser.set_defaults(run=run_command)


def run_command(arguments: argparse.Namespace, console: Console) -> int:
    """Plan, train what is missing, and write the report; 1 if a job could not be run."""
    experiment = _experiment(arguments, console)
    out: Path = arguments.out
    workspace: Path = arguments.workspace or workspace_of(out)
    make_folder("--out", out)
    make_folder("--workspace", workspace)
    command = "xssr " + shlex.join(sys.argv[1:])
    with StageProgress(console) as progress:
        planned = plan(experiment, out, workspace, command, progress)
        _announce(planned, experiment, console)
        if arguments.ray is not None:
            engine = partial(run_on_ray, address=arguments.ray)
        else:
            engine = partial(run_locally, jobs=arguments.jobs or _processes(experiment.protocol.threads))
        failed = run(planned, out, engine, progress)
    results = [one for one in read_results(out) if one.job.name not in failed]
    jobs = {job.name for job in planned.planner.jobs}
    missing = len(jobs - {result.job.name for result in results})
    for name, reason in list(failed.items())[:_SHOWN]:
        say(console, f"{name} could not be run: {reason}", style="bold red")
    if len(failed) > _SHOWN:
        say(console, f"{len(failed) - _SHOWN} more jobs could not be run.", style="bold red")
    for sentence, (number, name) in list(trainings_by_remark(results).items())[:_SHOWN]:
        say(console, f"{count(number, 'training')}, such as {name}: {sentence}", style="yellow")
    if results:
        report = write_report(out, failed, missing)
        for comparison in verdicts(read_experiment_info(out), results)[:_SHOWN]:
            say(console, comparison.sentence)
        say(console, f"Report: {report}")
    return 1 if failed else 0


def _experiment(arguments: argparse.Namespace, console: Console) -> Experiment:
    strategies = parse_strategies(arguments.strategies)
    budgets, rounds = _budgets(arguments.budget)
    recipe, judged_elsewhere = arguments.pool_from, arguments.test is not None
    target = (
        read_domain(arguments.target, "--target")
        if recipe is None
        else read_recipe(recipe, judged_elsewhere=judged_elsewhere)
    )
    source = None if arguments.source is None else read_domain(arguments.source, "--source", labelled=False)
    if recipe is not None and source is not None:
        refuse_source_in_pool(source, target)
    if arguments.test is None:
        if not target.test:
            target = held_out(target)
            say(console, f"{target.name} holds out no test cases; {len(target.test)} are drawn: {_some(target.test)}.")
        test = target
    else:
        test = read_domain(arguments.test, "--test")
        test = test if test.test else replace(test, test=frozenset(test.labels))
    out: Path = arguments.out
    if source is not None and not source.labels and out.resolve().is_relative_to(source.root.resolve()):
        raise UserError(
            f"--out {out}: lies in --source, whose subfolders count as images of it; name a folder elsewhere."
        )
    preset = _preset(arguments, target)
    named = {key: value for key in _ENCODER if (value := getattr(arguments, key)) is not None}
    asked = parse_settings(named, prefix="--")
    if arguments.encoders > 1 and is_foundation(asked.encoder):
        raise UserError(
            f"--encoders {arguments.encoders}: {asked.encoder} is not trained, so that there is only one; leave it out."
        )
    return Experiment(
        target=target,
        source=source,
        test=test,
        protocol=Protocol(
            preset=preset,
            labels=_labels(arguments.labels, target),
            steps=arguments.steps,
            full_steps=arguments.full_steps or 2 * arguments.steps,
            encoder=asked.encoder,
            encoder_steps=arguments.encoder_steps,
            encoders=arguments.encoders,
            share=arguments.pool_share,
            threads=arguments.threads,
            rounds=rounds,
            encoder_options=asked.encoder_options,
            from_labels=arguments.from_labels,
            unlabelled=arguments.unlabelled,
            min_spacing=arguments.spacing or 0.0,
            refine_by=None if arguments.refine is None else (arguments.refine, arguments.sam_side),
        ),
        strategies=strategies,
        budgets=budgets,
        seeds=arguments.seeds,
        draws=arguments.draws,
        methods=_methods(arguments.training, arguments.refine is not None),
    )


def _methods(text: str, refined: bool) -> tuple[str, ...]:
    """The training methods, and after each the same with refined masks if that is asked for."""
    try:
        names = parse_methods(text)
    except ValueError as error:
        raise UserError(f"--training {text}: must be {error}.") from None
    return tuple(name + ending for name in names for ending in ("", *[REFINED] * refined))


def _announce(planned: Plan, experiment: Experiment, console: Console) -> None:
    pool, trainings = len(planned.facts.images), len({one.training.digest for one in planned.jobs})
    later = len(planned.first.later)
    say(
        console,
        f"{pool} images in the pool, {len(experiment.test.test)} test cases, preset {experiment.protocol.preset.name}; "
        f"jobs: {len(planned.planner.jobs)}, which take {trainings} trainings of {experiment.protocol.steps} steps"
        f"{f', and up to {later} more in later rounds' if later else ''}.",
    )
    for reason in list(planned.set_aside.values())[:_SHOWN]:
        say(console, f"set aside: {reason}", style="yellow")
    for strategy, method in dict.fromkeys((one.job.strategy, one.job.method) for one in planned.jobs if one.falls_back):
        say(
            console,
            f"{strategy} with {method}: there is no unlabelled image, the training is supervised.",
            style="yellow",
        )
    lacking = without_label(experiment.target)
    if lacking:
        say(
            console,
            f"images of the pool without a label: {len(lacking)} ({_some(lacking)}); a job that picks one fails.",
            style="yellow",
        )


def _preset(arguments: argparse.Namespace, target: Domain) -> Preset:
    if arguments.preset == "auto":
        workspace: Path = arguments.workspace or workspace_of(arguments.out)
        make_folder("--out", arguments.out)
        make_folder("--workspace", workspace)
        with ReadingJournal(workspace) as journal:
            images = [target.images[image] for image in target.pool or target.images]
            preset = detect_preset(images, read=journal.guarded(read_image))
    else:
        preset = preset_by_name(arguments.preset)
    if arguments.spacing is not None and preset.spatial_dims != 3:
        raise UserError(f"--spacing {arguments.spacing:g}: preset {preset.name} is 2-D; choose --size.")
    if arguments.encoder_size is not None:
        preset = _with_encoder_size(preset, arguments.encoder, arguments.encoder_size)
    if arguments.size is None:
        return preset
    if preset.spatial_dims != 2:
        raise UserError(
            f"--size {arguments.size}: preset {preset.name} is 3-D, whose size follows the images; choose --spacing."
        )
    return replace(preset, segmentation_size=arguments.size)


def _with_encoder_size(preset: Preset, encoder: str, side: int) -> Preset:
    """The preset for an encoder that is trained on images of this side.

    Raises:
        UserError: it cannot be.
    """
    fixed = f"--encoder-size {side}: {encoder} always sees the same size; leave the option out."
    if is_foundation(encoder):
        raise UserError(fixed)
    multiple = math.lcm(preset.encoder_patch, 2 ** len(preset.encoder_channels))
    if side % multiple or side < 2 * multiple:
        raise UserError(f"--encoder-size {side}: must be a multiple of {multiple}, from {2 * multiple}.")
    sized = replace(preset, encoder_size=side)
    built = build_encoder(encoder, sized)
    if not isinstance(built, TrainedEncoder) or side not in built.input_shape(sized):
        raise UserError(fixed)
    return sized


def _labels(text: str | None, target: Domain) -> tuple[str, ...]:
    if text is None:
        return target.label_names or Settings.labels
    try:
        return parse_labels(text)
    except ValueError as error:
        raise UserError(f"--labels {text}: must be {error}.") from None


def _budgets(text: str) -> tuple[tuple[Budget, ...], tuple[int, ...]]:
    """Budgets, and the labels of each round if the text names rounds."""
    if "+" in text:
        words = [word.strip() for word in text.split("+")]
        if not all(word.isascii() and word.isdigit() and int(word) >= 1 for word in words):
            raise UserError(f"--budget {text}: rounds must be numbers of labels, one or more each, such as 5+5+5+7.")
        rounds = tuple(map(int, words))
        return tuple(parse_budget(str(count)) for count in itertools.accumulate(rounds)), rounds
    try:
        return tuple(parse_budget(word.strip()) for word in text.split(",")), ()
    except ValueError as error:
        raise UserError(
            f"--budget {text}: must be {error}; several are separated by commas, rounds are joined as in 5+5+5+7."
        ) from None


def _processes(threads: int) -> int:
    import torch

    return 1 if torch.cuda.is_available() else max(1, (os.cpu_count() or 1) // threads)


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
