"""``xssr check``: masks that people or other software drew, the ones that look wrong to a trained network first."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console

from xssr_strategy.commands.judged_model import JudgedModel
from xssr_strategy.commands.model_file import model_file
from xssr_strategy.commands.outputs import check_outputs, writing
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.commands.review_files import JudgedMask, note_of, page_of, write_page, write_table
from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.segmentation.mask_quality import label_dice
from xssr_strategy.segmentation.network import without_ignored
from xssr_strategy.simulation.domains import Domain, read_domain, refuse_other_names
from xssr_strategy.simulation.evaluation import read_case

_SHOWN = 50  # masks on the page, by default
CHECKING, DRAWING = "checking labels", "drawing labels"
_ADVICE = (
    "Solid: the label that is checked. Dashed: what the network makes of the same image. The agreement is their Dice, "
    "from 0 to 1, and decides the order; the quality, from 0 to 1, tells how far the label looks like those that the "
    "network was trained on."
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("check", help="list the labels that look wrong to a trained network")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="folder with images and labels, or its labels")
    parser.add_argument("--trained", required=True, help="model file, or studies folder or DICOMweb URL of a server")
    parser.add_argument("--out", type=Path, default=Path("check.csv"), help="CSV file to write (default check.csv)")
    parser.add_argument("--shown", type=int, default=_SHOWN, help=f"labels on the page (default {_SHOWN})")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compare every label with the network's mask, and write the list; 1 if a label cannot be read."""
    if arguments.shown < 1:
        raise UserError(f"--shown {arguments.shown}: must be 1 or more.")
    out: Path = arguments.out
    file = model_file(arguments.trained, "--trained")
    check_outputs({"--out": out, "the page of --out": page_of(out)}, {"--trained": file})
    domain = read_domain(_with_images(arguments.labels), "LABELS")
    model = JudgedModel(file)
    names = model.plan.labels
    if len(names) == 1 and domain.label_names and names != domain.label_names:
        called = f"{', '.join(domain.label_names)} in LABELS and {names[0]} in --trained"
        say(console, f"The label is called {called}: they are compared all the same.", style="yellow")
    if Path(arguments.trained).resolve() == domain.root.resolve():
        say(
            console,
            "The network may have learnt from these labels: it then agrees with their mistakes.",
            style="yellow",
        )
    refuse_other_names(domain, names, replace(domain, label_names=names))
    found: list[JudgedMask] = []
    unreadable = 0
    with StageProgress(console) as progress:
        for done, image in enumerate(sorted(domain.labels), start=1):
            try:
                with memory_told(domain.images[image]):
                    found.append(_checked(model, domain, image))
            except UserError as error:
                unreadable += 1
                say(console, f"not checked: {error}", style="yellow")
            progress(CHECKING, done, len(domain.labels))
        found.sort(key=lambda one: (one.scores["agreement"], one.image))
        for place, one in enumerate(found[: arguments.shown]):
            with suppress(UserError), memory_told(one.path):  # removed since it was checked, or too large to draw
                found[place] = replace(one, picture=_picture(model, domain, one.image))
            progress(DRAWING, place + 1, min(arguments.shown, len(found)))
    with writing("--out", out):
        write_table(out, found, "agreements")
        write_page(page_of(out), f"Labels of {domain.name} to check", _ADVICE, found, names)
    say(console, f"{len(found)} labels checked, {unreadable} that cannot be read.")
    for one in found[:5]:
        scores = ", ".join(f"{name} {value:.2f}" for name, value in one.scores.items())
        say(console, f"{one.image}: {scores}" + (f" ({one.words})" if one.words else ""))
    for file in (out, page_of(out)):
        say(console, f"Written to {file}")
    return 1 if unreadable else 0


def _with_images(folder: Path) -> Path:
    """The folder that holds the images, too, if this is its part with the labels.

    ``labels`` beside ``images``, ``labels/final`` in a studies folder, ``labelsTr`` beside ``imagesTr``.
    """
    if folder.name in ("labels", "labelsTr") and not any((folder / part).is_dir() for part in ("images", "imagesTr")):
        return folder.parent
    if folder.name == "final" and folder.parent.name == "labels":
        return folder.parent.parent
    return folder


def _checked(model: JudgedModel, domain: Domain, image: str) -> JudgedMask:
    """A label, judged as it is and by the network's own mask of its image.

    Raises:
        UserError: image or label cannot be read.
    """
    names = model.plan.labels
    pixels, stored = read_case(domain.labelled(image, names), model.preset, names)
    label, known = without_ignored(stored)
    qualities = model.judge.quality_of_mask(label, len(names))
    made = model.mask(pixels) * known
    agreements = label_dice(label, made, len(names))
    numbers = range(1, len(names) + 1)
    there = torch.tensor([bool((label == number).any() or (made == number).any()) for number in numbers])
    by_label = {
        name: float(agreement) if is_there else 1.0  # drawn by nobody: nothing to disagree about
        for name, agreement, is_there in zip(names, agreements, there, strict=True)
    }
    scores = {
        "agreement": _mean(agreements, there),
        "quality": _mean(qualities, there),
    }
    note = note_of(label.numpy(), names)
    return JudgedMask(image, domain.images[image], scores, by_label, note, mask=domain.labels[image])


def _mean(values: torch.Tensor, there: torch.Tensor) -> float:
    """Over the labels that are there; 1 if none is."""
    return fmean(values[there].tolist()) if bool(there.any()) else 1.0


def _picture(model: JudgedModel, domain: Domain, image: str) -> bytes:
    pixels, label = read_case(domain.labelled(image, model.plan.labels), model.preset, model.plan.labels)
    drawn, known = without_ignored(label)
    return model.picture(pixels, drawn, model.mask(pixels) * known)
