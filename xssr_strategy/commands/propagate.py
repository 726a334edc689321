"""``xssr propagate``: the mask of a volume from the slices of it that somebody drew."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from rich.console import Console

from xssr_strategy.commands.outputs import check_outputs, writing
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import detect_preset
from xssr_strategy.images.preprocessing import conform, memory_told
from xssr_strategy.labels.formats import read_numbers
from xssr_strategy.labels.names import IGNORE, are_labels
from xssr_strategy.labels.reading import examine_label
from xssr_strategy.labels.segments import SCRIBBLES, file_segments
from xssr_strategy.labels.values import EMPTY, FULL, SINGLE
from xssr_strategy.segmentation.mask_files import VOLUMES, write_mask
from xssr_strategy.segmentation.propagation.engines import engines, told_before
from xssr_strategy.segmentation.propagation.files import AXES, orientations, propagate_label, read_volume
from xssr_strategy.segmentation.sam2 import check_usable, parse_side
from xssr_strategy.simulation.statistics import count

FOLLOWING = "following slices"
_UNNAMED = ("label",)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("propagate", help="make the mask of a volume from one drawn slice, or several")
    parser.add_argument("--image", type=Path, required=True, help="volume: a file, or the folder of a DICOM series")
    parser.add_argument("--label", type=Path, required=True, help="label of it, of which some slices are drawn")
    parser.add_argument("--out", type=Path, required=True, help="mask to write, such as mask.nii.gz")
    parser.add_argument("--labels", help="names of the label's numbers 1, 2, ..., if there are several: liver,tumour")
    parser.add_argument("--axis", choices=AXES, help="how the drawn slices lie (default: as they seem to)")
    parser.add_argument("--sam-weights", type=Path, help="folder of SAM 2's weights, which then follows the slices")
    parser.add_argument("--sam-side", default="0", help="side of what SAM 2 sees (default: of its training)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Propagate, and write the mask on the voxels of the image."""
    image, label, out = arguments.image, arguments.label, arguments.out
    for option, path in (("--image", image), ("--label", label)):
        if not path.exists():
            raise UserError(f"{option} {path}: does not exist.")
    if not out.name.lower().endswith(VOLUMES):
        raise UserError(f"--out {out}: masks of volumes are written as {', '.join(VOLUMES)}; name such a file.")
    check_outputs({"--out": out}, {"--image": image, "--label": label})
    side = _side(arguments.sam_side, arguments.sam_weights)
    name, make = next(iter(engines(arguments.sam_weights, side).items()))
    if slow := told_before(name, side):
        say(console, f"{slow}.", style="yellow")
    began = time.perf_counter()
    with memory_told(image), StageProgress(console) as progress:
        volume = read_volume(image)
        names = _names(arguments.labels, label, volume, image)
        engine = make()
        found = propagate_label(
            volume,
            image,
            label,
            names,
            engine,
            axis=arguments.axis,
            progress=lambda *now: progress(FOLLOWING, *now),
        )
    with writing("--out", out):
        mask = found.mask * _number(label) if names == _UNNAMED else found.mask
        write_mask(mask, volume, image, str(out), compress=True)
    for note in found.notes:
        say(console, note, style="yellow")
    seconds = time.perf_counter() - began
    drawn = count(len(found.drawn), f"{orientations(volume.affine.numpy())[found.axis]} slice")
    if names != _UNNAMED:
        say(console, ", ".join(f"{number} is {name}" for number, name in enumerate(names, start=1)) + ".")
    say(console, f"{drawn} drawn, the label found on {found.filled} more, by {engine.name} in {seconds:.1f} s.")
    say(console, f"Mask written to {out}")
    return 0


def _side(text: str, weights: Path | None) -> int:
    """The side that SAM 2 sees, once it is sure that its weights can be used.

    Raises:
        UserError: they cannot, or the side is none.
    """
    try:
        side = parse_side(text)
    except ValueError as error:
        raise UserError(f"--sam-side {text}: must be {error}.") from None
    if weights is not None:
        check_usable(weights)
    elif side:
        raise UserError("--sam-side: is of SAM 2; add --sam-weights, or leave it out.")
    return side


def _number(label: Path) -> np.uint8 | np.uint16:
    """The number that is drawn in a label of one number, which the mask has, too."""
    number = int(np.rint(read_numbers(label, False).as_tensor().numpy()).max())
    return np.uint8(number) if number <= np.iinfo(np.uint8).max else np.uint16(number)


def _names(listed: str | None, label: Path, volume: MetaTensor, image: Path) -> tuple[str, ...]:
    """Of the numbers 1, 2, ...: those listed, those that the label's file has, or one for whatever is drawn.

    Raises:
        UserError: they cannot be names of labels, or are missing.
    """
    if listed is None:
        named = [one.name for one in file_segments(label) if one.name not in (*SCRIBBLES, IGNORE)]
        if named and not are_labels(named):
            raise UserError(f"{label}: its segments {','.join(named)} must have different names; rename them.")
        if named:
            return tuple(named)
        odd = examine_label(label, _UNNAMED, conform(volume, detect_preset([image], read=lambda _: volume), image))
        if odd not in ("", EMPTY, SINGLE, FULL):
            raise UserError(f"{label}: {odd.partition(';')[0]}; name them with --labels.")
        return _UNNAMED
    names = tuple(name.strip() for name in listed.split(","))
    if not are_labels(names):
        raise UserError(f"--labels {listed}: must be different names, such as liver,tumour.")
    return names
