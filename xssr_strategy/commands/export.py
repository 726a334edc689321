"""``xssr export``: labelled images as a data set of another tool, or the trained network as a MONAI bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from xssr_strategy.archive.query import is_remote
from xssr_strategy.commands.model_file import model_file
from xssr_strategy.commands.outputs import make_folder, writing
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.errors import UserError
from xssr_strategy.exchange.bundle import write_bundle
from xssr_strategy.exchange.data_sets import WRITERS, LabelledSet, written_files
from xssr_strategy.settings import Settings, parse_settings
from xssr_strategy.simulation.domains import read_domain

EXPORTING, BUNDLE = "exporting", "monai-bundle"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("export", help="write labelled images, or the trained network, for other tools")
    parser.add_argument(
        "form",
        choices=(*sorted(WRITERS), BUNDLE),
        help="nnunet, decathlon (Auto3DSeg, too), nifti (plain pairs); monai-bundle: the network",
    )
    parser.add_argument("--studies", required=True, help="studies folder; any folder with labels, or a model file")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new or empty")
    parser.add_argument("--labels", help="names of the labels 1, 2, ... (default: those that the folder names)")
    parser.add_argument("--modality", help="of the images, as the data set names it (default MRI)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write every labelled image, or the network; 1 if an image is left out."""
    studies, out = arguments.studies, arguments.out
    if arguments.form == BUNDLE:
        return _export_network(arguments, console)
    if is_remote(studies):
        raise UserError(f"--studies {studies}: name a folder; of an archive, fetch images and labels with your viewer.")
    domain = read_domain(Path(studies), "--studies")
    if out.resolve().is_relative_to(domain.root.resolve()):
        raise UserError(f"--out {out}: lies in --studies, where its images would count; name a folder elsewhere.")
    if (there := next(written_files(out), None)) is not None:
        raise UserError(f"--out {out}: holds {there.name} already; name a new folder, so that nothing is mixed.")
    names = Settings().labels
    if arguments.labels is not None:
        names = parse_settings({"labels": arguments.labels}, prefix="--").labels
    elif domain.label_names:
        names = domain.label_names
    make_folder("--out", out)
    pairs = {image: domain.labelled(image, names) for image in domain.labels}
    labelled = LabelledSet(domain.name, pairs, names, domain.test, domain.patients, arguments.modality or "MRI")
    with StageProgress(console) as progress, writing("--out", out):
        failed = WRITERS[arguments.form](labelled, out, lambda done, total: progress(EXPORTING, done, total))
    for why in failed.values():
        say(console, f"left out: {why}", style="yellow")
    say(console, f"{len(pairs) - len(failed)} labelled images written to {out}, {len(failed)} left out.")
    return 1 if failed else 0


def _export_network(arguments: argparse.Namespace, console: Console) -> int:
    out: Path = arguments.out
    for option in ("labels", "modality"):
        if getattr(arguments, option) is not None:
            raise UserError(f"--{option}: is for data sets; leave it out.")
    file = model_file(arguments.studies, "--studies")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out}: is not empty; name a new folder, so that nothing is mixed.")
    make_folder("--out", out)
    with writing("--out", out):
        plan = write_bundle(file, out)
    say(console, f"{plan.spatial_dims}-D network for {', '.join(plan.labels)} written to {out}. Run it by:")
    command = "python -m monai.bundle run --config_file configs/inference.json --dataset_dir IMAGES --output_dir MASKS"
    say(console, f"cd {out} && {command}")
    return 0
