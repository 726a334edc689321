"""The options of ``xssr simulate``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from xssr_strategy.embedding.catalogue import encoder_names
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.segmentation.data import UNLABELLED
from xssr_strategy.segmentation.methods.catalogue import ABLATIONS, SUPERVISED, method_choices
from xssr_strategy.segmentation.methods.recipe import MAX_EPOCHS, STEPS_PER_EPOCH
from xssr_strategy.segmentation.network import side_multiple
from xssr_strategy.segmentation.sam2 import check_usable, parse_side
from xssr_strategy.settings import Settings

_STRATEGIES = "xssr,kmeans,coreset,typiclust,random,full"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is compared, how it is trained and judged, and where it runs."""
    pool = parser.add_mutually_exclusive_group(required=True)
    pool.add_argument("--target", type=_folder, help="labelled domain whose pool is picked from")
    pool.add_argument(
        "--pool-from", type=_folder, metavar="RECIPE", help="TOML file that mixes such a pool from several domains"
    )
    parser.add_argument("--source", type=_folder, help="domain that the encoder learns from (default: the pool itself)")
    parser.add_argument(
        "--test", type=_folder, help="labelled domain of the test cases (default: those the target holds out)"
    )
    parser.add_argument("--out", type=_folder, required=True, help="folder for the results and the report")
    parser.add_argument(
        "--budget", default="5%", help="labels, such as 22 or 5%% or 5,10,20, or rounds: 5+5+5+7 (default 5%%)"
    )
    parser.add_argument("--strategies", default=_STRATEGIES, help=f"names separated by commas (default {_STRATEGIES})")
    _add_training(parser)
    parser.add_argument("--seeds", type=_at_least(1), default=5, help="trainings of each, paired (default 5)")
    parser.add_argument("--draws", type=_at_least(1), default=10, help="draws of random (default 10)")
    parser.add_argument(
        "--labels", help="names of the labels 1, 2, ... (default: those of dataset.json, else foreground)"
    )
    parser.add_argument("--preset", default="auto", help=f"auto, {', '.join(PRESETS)}")
    steps = MAX_EPOCHS * STEPS_PER_EPOCH
    parser.add_argument("--steps", type=_at_least(1), default=steps, help=f"steps of every training (default {steps})")
    parser.add_argument(
        "--full-steps", type=_at_least(1), help="steps of the training on the whole pool (default: twice)"
    )
    parser.add_argument("--size", type=_side, help="2-D: side of what the U-Net sees (default: the trainer's own)")
    parser.add_argument(
        "--spacing",
        type=_millimetres,
        help="3-D: least side of a voxel in mm; finer images are resampled for the U-Net (default: as they are)",
    )
    encoders = ", ".join(encoder_names())
    parser.add_argument("--encoder", default=Settings.encoder, help=f"what gives images vectors: {encoders}")
    parser.add_argument("--encoder-steps", type=_at_least(1), default=Settings.encoder_steps)
    parser.add_argument(
        "--encoder-size", type=_at_least(1), help="side of what a trained encoder sees (default: the server's own)"
    )
    parser.add_argument("--encoder-weights", help="file of a foundation encoder's weights")
    parser.add_argument("--encoder-slices", help="slices that a 2-D foundation encoder sees of a volume (default 9)")
    parser.add_argument("--encoder-pooling", help="mean or max: how the vectors of the slices become one")
    parser.add_argument(
        "--encoders", type=_at_least(1), default=1, help="encoders, used by the seeds in turn (default 1)"
    )
    parser.add_argument(
        "--pool-share", type=_share, default=1.0, help="share of the pool that each seed sees, drawn anew (default 1)"
    )
    _add_running(parser)


def _add_running(parser: argparse.ArgumentParser) -> None:
    """Where it runs, and on how much of the machine."""
    parser.add_argument("--workspace", type=_folder, help="where encoders and vectors are kept (default: in --out)")
    parser.add_argument(
        "--jobs",
        type=_at_least(1),
        help="trainings side by side on this machine (default: one for each core, or one GPU)",
    )
    parser.add_argument("--threads", type=_at_least(1), default=1, help="processor threads of a training (default 1)")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="run the trainings on a Ray cluster (default: that of RAY_ADDRESS or of this machine)",
    )
    for removed in ("--slurm", "--part"):
        parser.add_argument(removed, type=_job_array, help=argparse.SUPPRESS)


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Which methods train, on what, and whether their masks are refined."""
    parser.add_argument(
        "--refine",
        type=_sam_weights,
        metavar="FOLDER",
        help="weights of SAM 2, by which the masks of every method are refined and judged again, as METHOD+sam2; "
        "without a GPU 10 to 30 s a slice",
    )
    parser.add_argument(
        "--sam-side", type=_sam_side, default=0, help="side of what SAM 2 sees (default: that of its training)"
    )
    methods = ", ".join((*method_choices(), *ABLATIONS))
    parser.add_argument(
        "--training",
        default=SUPERVISED,
        help=f"training methods, separated by commas: {methods} (default {SUPERVISED})",
    )
    parser.add_argument(
        "--from-labels",
        type=_at_least(1),
        help="labels of the source for source-only, drawn with the seed (default: all)",
    )
    parser.add_argument(
        "--unlabelled",
        type=_at_least(1),
        default=UNLABELLED,
        help=f"images that a training may learn from without a label, drawn with the seed (default {UNLABELLED})",
    )


def _sam_side(text: str) -> int:
    try:
        return parse_side(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: must be {error}") from None


def _sam_weights(text: str) -> Path:
    try:
        check_usable(folder := _folder(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return folder


def _folder(text: str) -> Path:
    return Path(text).absolute()  # the nodes of a cluster may work in another folder


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and int(text) >= least:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number from {least}")

    return parse


def _share(text: str) -> float:
    try:
        if 0.0 < float(text) <= 1.0:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text}: must be a number above 0 and at most 1")


def _side(text: str) -> int:
    multiple = side_multiple(2)
    if text.isascii() and text.isdigit() and int(text) > multiple and int(text) % multiple == 0:
        return int(text)  # of one multiple the lowest stage of the network would see one pixel
    raise argparse.ArgumentTypeError(f"{text}: must be a multiple of {multiple}, from {2 * multiple}")


def _millimetres(text: str) -> float:
    try:
        if 0 < (value := float(text)) < 1000:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text}: must be a number of mm above 0 and below 1000")


def _job_array(text: str) -> NoReturn:
    raise argparse.ArgumentTypeError(
        "job arrays are no longer written; run the trainings on a Ray cluster with --ray, which SLURM can start: see "
        "docs/CLUSTER.md"
    )
