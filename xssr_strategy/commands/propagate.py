"""``xssr propagate``: the mask of a volume from the slices of it that somebody drew."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from monai.data import MetaTensor
from numpy.typing import NDArray
from rich.console import Console

from xssr_strategy.commands.outputs import check_outputs, writing
from xssr_strategy.commands.progress import StageProgress, say
from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import detect_preset
from xssr_strategy.images.preprocessing import conform, memory_told, scale_intensity, spacing_of
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.names import are_labels
from xssr_strategy.labels.reading import examine_label, read_label
from xssr_strategy.labels.segments import file_segments
from xssr_strategy.segmentation.geometry import to_file_axes
from xssr_strategy.segmentation.mask_files import write_mask
from xssr_strategy.segmentation.network import without_ignored
from xssr_strategy.segmentation.propagation.propagate import Propagation, propagate
from xssr_strategy.segmentation.propagation.registration import Registration
from xssr_strategy.simulation.statistics import count

FOLLOWING = "following slices"
_AXES = ("sagittal", "coronal", "transverse")
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("propagate", help="make the mask of a volume from one drawn slice, or several")
    parser.add_argument("--image", type=Path, required=True, help="volume: a file, or the folder of a DICOM series")
    parser.add_argument("--label", type=Path, required=True, help="label of it, of which some slices are drawn")
    parser.add_argument("--out", type=Path, required=True, help="mask to write, such as mask.nii.gz")
    parser.add_argument("--labels", help="names of the label's numbers 1, 2, ..., if there are several: liver,tumour")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Propagate, and write the mask on the voxels of the image."""
    source, label, out = arguments.image, arguments.label, arguments.out
    for option, path in (("--image", source), ("--label", label)):
        if not path.exists():
            raise UserError(f"{option} {path}: does not exist.")
    check_outputs({"--out": out}, {"--image": source, "--label": label})
    original = read_image(source)
    if original.ndim != 4 or min(original.shape[1:]) < 2:
        raise UserError(f"--image {source}: is a single slice; propagation needs a volume.")
    if not out.name.lower().endswith(_ENDINGS):
        raise UserError(f"--out {out}: masks of volumes are written as {', '.join(_ENDINGS)}; name such a file.")
    names = _names(arguments.labels, label)
    began = time.perf_counter()
    with memory_told(source), StageProgress(console) as progress:
        found = _propagated(original, source, label, names, progress)
    with writing("--out", out):
        write_mask(to_file_axes(found.mask, original.affine.numpy()), original, source, str(out), compress=True)
    for note in found.notes:
        say(console, note, style="yellow")
    filled = int(found.mask.any(axis=tuple({0, 1, 2} - {found.axis})).sum()) - len(found.drawn)
    seconds = f"{time.perf_counter() - began:.1f} s"
    many = count(len(found.drawn), f"{_AXES[found.axis]} slice")
    say(console, f"{many} drawn, the label found on {filled} more, by {Registration.name} in {seconds}.")
    say(console, f"Mask written to {out}")
    return 0


def _propagated(
    original: MetaTensor, source: Path, file: Path, names: Sequence[str], progress: StageProgress
) -> Propagation:
    """In RAS axes.

    Raises:
        UserError: the label does not fit the image, or there is nothing to propagate.
    """
    preset = detect_preset([source])
    image = conform(original, preset, source)
    drawn, known = without_ignored(read_label(file, names, image))
    odd = examine_label(file, names, image) if len(names) == 1 else ""
    if odd and (drawn > 0).any():
        raise UserError(f"--label {file}: {odd.partition(';')[0]}; name them with --labels.")
    grey: NDArray[np.float32] = scale_intensity(image.as_tensor(), preset)[0].numpy()
    try:
        return propagate(
            grey,
            (drawn * known)[0].numpy(),
            names,
            spacing_of(image),
            Registration(),
            progress=lambda done, total: progress(FOLLOWING, done, total),
        )
    except UserError as error:
        raise UserError(f"--label {file}: {error}.") from None


def _names(listed: str | None, file: Path) -> tuple[str, ...]:
    """Of the numbers 1, 2, ...: those listed, those that the file has, or one for whatever is drawn.

    Raises:
        UserError: they cannot be names of labels.
    """
    if listed is None:
        return tuple(segment.name for segment in file_segments(file)) or ("label",)
    names = tuple(name.strip() for name in listed.split(","))
    if not are_labels(names):
        raise UserError(f"--labels {listed}: must be different names, such as liver,tumour.")
    return names
