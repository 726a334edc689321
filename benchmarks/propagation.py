r"""How well one drawn slice becomes a volume, by the distance from it, beside a copy of that slice.

    python -m benchmarks.propagation ../shared/data/prostate/D ../shared/data/left-atrium ../shared/data/hippocampus \
        ../shared/data/brain-ixi

The test cases of each folder, labels merged into one. The slice in the middle of the organ is drawn, across the axis
with the widest spacing, and followed both ways. Prints the mean Dice of slices so many away that hold the organ, and
the gain in points over copying the drawn slice; the Dice of the whole volume, for which copying is told the ends of the
organ and the propagation is not; and the time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bound import Bound
from tests.support.sam2 import tiny_network, write_weights
from xssr_strategy.images.detect import detect_preset
from xssr_strategy.images.preprocessing import conform, scale_intensity, spacing_of
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import read_label
from xssr_strategy.segmentation.propagation.propagate import propagate
from xssr_strategy.segmentation.propagation.registration import Registration
from xssr_strategy.segmentation.propagation.sam2 import Sam2Tracker
from xssr_strategy.simulation.domains import read_domain

_DISTANCES = (1, 2, 3, 4, 5, 8)
_SIDE, _SLICES, _REPEATS = 256, 20, 3


def run() -> list[Bound]:
    """Slices per second of each engine, on a disc of 80 pixels that moves by a pixel from slice to slice."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    noise = np.random.default_rng(0).normal(0, 0.02, (_SLICES + 1, _SIDE, _SIDE))
    discs = np.stack([(rows - 128) ** 2 + (columns - 100 - n) ** 2 < 40**2 for n in range(_SLICES + 1)])
    slices = (0.3 + 0.4 * discs + noise).astype(np.float32)
    rates = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        for _ in Registration().follow(slices, discs[:1], (1.0, 1.0)):
            pass
        rates.append(_SLICES / (time.perf_counter() - began))
    rate = float(np.median(rates[1:]))  # the first one loads ITK's libraries
    what = f"propagation by registration, {_SIDE} x {_SIDE} pixels, an organ of 80"
    return [Bound(what, f"{rate:.1f} slices/s", "at least 5", rate >= 5), _sam2(slices, discs[:1])]


def _sam2(slices: NDArray[np.float32], drawn: NDArray[np.bool_]) -> Bound:
    """Slices per second by the weights in ``SAM2_WEIGHTS``, or by a network as small as the library allows."""
    folder = os.environ.get("SAM2_WEIGHTS")
    with tempfile.TemporaryDirectory() as made:
        tracker = Sam2Tracker(Path(folder) if folder else write_weights(tiny_network(), Path(made)))
    began = time.perf_counter()
    for _ in tracker.follow(slices, drawn, (1.0, 1.0)):
        pass
    rate = _SLICES / (time.perf_counter() - began)
    which = "the weights of SAM2_WEIGHTS" if folder else "a drawn network of a million parameters"
    return Bound(f"propagation by SAM 2, {which}", f"{rate:.2f} slices/s", "none", True)


def main(arguments: argparse.Namespace) -> None:
    """Print a row for each folder."""
    print(
        "| volumes | "
        + " | ".join(f"{far} away" for far in _DISTANCES)
        + " | whole volume | copy, told the ends | time |"
    )
    print("| --- " * (len(_DISTANCES) + 4) + "|")
    registration = Registration()
    for folder in arguments.domains:
        by_distance: dict[int, list[tuple[float, float]]] = defaultdict(list)
        whole, seconds = [], []
        for grey, truth, spacing in _volumes(folder, arguments.pool):
            middle = _middle(truth)
            given = np.zeros(truth.shape, np.uint8)
            given[middle] = truth[middle]
            began = time.perf_counter()
            mask = propagate(grey, given, ("organ",), spacing, registration).mask > 0
            seconds.append(time.perf_counter() - began)
            copied = np.where(truth.any(axis=(1, 2))[:, None, None], truth[middle], False)
            whole.append((_dice(copied, truth), _dice(mask, truth)))
            for far in _DISTANCES:
                for place in (middle - far, middle + far):
                    if 0 <= place < len(truth) and truth[place].any():
                        by_distance[far].append((_dice(truth[middle], truth[place]), _dice(mask[place], truth[place])))
        cells = [_cell(by_distance[far]) for far in _DISTANCES]
        copy, found = np.mean(whole, axis=0)
        time_a_volume = (
            f"{1000 * np.median(seconds):.0f} ms" if np.median(seconds) < 1 else f"{np.median(seconds):.1f} s"
        )
        print(
            f"| {folder.name}, {len(whole)} | "
            + " | ".join(cells)
            + f" | {found:.3f} | {copy:.3f} | {time_a_volume} |",
            flush=True,
        )


def _volumes(folder: Path, pool: bool) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], tuple[float, ...]]]:
    """Grey values, organ and spacing, the axis with the widest spacing first."""
    domain = read_domain(folder, "DOMAIN")
    held_out = sorted(set(domain.labels) - set(domain.pool))
    for image in domain.pool if pool else held_out:
        preset = detect_preset([domain.images[image]])
        volume = conform(read_image(domain.images[image]), preset)
        spacing = spacing_of(volume)
        axis = max(range(3), key=lambda axis: (round(spacing[axis], 2), axis))
        grey = scale_intensity(volume.as_tensor(), preset)[0].numpy()
        label = read_label(domain.labels[image], ("organ",), volume)[0].numpy() > 0
        order = (spacing[axis], *(step for place, step in enumerate(spacing) if place != axis))
        yield np.moveaxis(grey, axis, 0), np.moveaxis(label, axis, 0), order


def _middle(truth: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(truth.any(axis=(1, 2)))
    return int(places[len(places) // 2])


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def _cell(pairs: list[tuple[float, float]]) -> str:
    if not pairs:
        return ""
    copy, found = 100 * np.mean(pairs, axis=0)
    return f"{found / 100:.3f} ({found - copy:+.1f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="+", type=Path)
    parser.add_argument("--pool", action="store_true", help="the images of the pool, on which settings are chosen")
    main(parser.parse_args())
