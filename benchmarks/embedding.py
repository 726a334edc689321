"""Embedding a pool through the store, beside the bare loop "read, transform, forward" over the same files."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.bound import Bound
from tests.support.data import SHENZHEN
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import EncoderCheckpoint, load_encoder, save_encoder
from xssr_strategy.embedding.pool import EmbeddingWorkers, embed_pool
from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preprocessing import encoder_input
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.parallel.images import Workers

_REPEATS = 5
_BATCH = 16
_POOL, _TURNS = 600, 3  # images of the pool that workers embed; turns of each


def run() -> list[Bound]:
    images = find_images(SHENZHEN / "images")
    ratios, store_rates, bare_rates = [], [], []
    for _ in range(_REPEATS):
        bare, through = len(images) / _bare(images), len(images) / _through_store(images)
        ratios.append(through / bare)
        store_rates.append(through)
        bare_rates.append(bare)
    ratio = statistics.median(ratios)
    rates = f"{statistics.median(store_rates):.0f} against {statistics.median(bare_rates):.0f} images/s"
    small, large = (_peak(count) for count in (500, 5000))
    one, two = ([_by_workers(images, count) for _ in range(_TURNS)] for count in (1, 2))
    gain = statistics.median(b / a for a, b in zip(one, two, strict=True))
    both = f"{statistics.median(two):.0f} against {statistics.median(one):.0f} images/s"
    return [
        Bound("embedding through the store / bare loop", f"{ratio:.2f} ({rates})", "at least 0.8", ratio >= 0.8),
        Bound(
            "peak memory, pool of 5,000 / pool of 500",
            f"{large / small:.2f} ({large:.0f} and {small:.0f} MB)",
            "at most 1.1",
            large / small <= 1.1,
        ),
        Bound("embedding by two workers / by one", f"{gain:.2f} ({both})", "at least 1.7", gain >= 1.7),
    ]


def _checkpoint() -> EncoderCheckpoint:
    preset = PRESETS["xray"]
    return EncoderCheckpoint(build_encoder("conv_mae", preset).eval(), "conv_mae-bench", preset, {})


def _bare(images: dict[str, Path]) -> float:
    checkpoint = _checkpoint()
    begin = time.perf_counter()
    paths = list(images.values())
    with torch.inference_mode():
        for start in range(0, len(paths), _BATCH):
            batch = [encoder_input(path, checkpoint.preset) for path in paths[start : start + _BATCH]]
            checkpoint.encoder.encode(torch.stack(batch)).numpy()
    return time.perf_counter() - begin


def _through_store(images: dict[str, Path]) -> float:
    checkpoint = _checkpoint()
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder) / "store.sqlite")
        begin = time.perf_counter()
        embed_pool(images, TARGET, checkpoint, store)
        seconds = time.perf_counter() - begin
        store.close()
    return seconds


def _by_workers(images: dict[str, Path], count: int) -> float:
    """Images per second of so many processes of one thread, from the first batch on: they take seconds to start."""
    names, checkpoint = list(images.values()), _checkpoint()
    pool = {f"{number:06d}": names[number % len(names)] for number in range(_POOL)}
    times: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "encoder.safetensors"
        save_encoder(file, "conv_mae", checkpoint.encoder, checkpoint.preset, {})
        store = EmbeddingStore(Path(folder) / "store.sqlite")
        embed_pool(
            pool,
            TARGET,
            load_encoder(file),
            store,
            lambda done, _: times.append((time.perf_counter(), done)),
            workers=EmbeddingWorkers(Workers(count), file),
        )
        store.close()
    begin = next(one for one in times if one[1])
    return (times[-1][1] - begin[1]) / (times[-1][0] - begin[0])


def _peak(count: int) -> float:
    """Peak memory in MB of a process that embeds a pool of this size (the images, again and again)."""
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.embedding", str(count)], capture_output=True, encoding="utf-8", check=True
    ).stdout
    return float(output.split()[-1])


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    files = list(find_images(SHENZHEN / "images").values())
    _through_store({f"{number:06d}": files[number % len(files)] for number in range(wanted)})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
