r"""The server on folders of ten and a hundred thousand images: a click, ``/info/``, a label, the start.

    python -m benchmarks.large_pool 10000 100000

Images and vectors are made up: all images are links to a few pictures, and no encoder has seen them. The server is the
real one. Processor time is that of the server's process and of what it starts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from rich.console import Console

from benchmarks.bound import Bound, show
from tests.support.harness import start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import load_encoder, save_encoder
from xssr_strategy.embedding.store import TARGET, EmbeddingStore, Vector
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.cold_start_plan import ColdStartPlan, write_plan
from xssr_strategy.pool.ranking import rank, write_ranking
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.pool_map import layout
from xssr_strategy.settings import parse_settings

_CONF = {"preset": "xray", "labels": "lung", "encoder_steps": "1"}
_LINKS = 30_000  # to one file; a file system has a limit
_CLICKS, _LABELS, _INFOS = 40, 10, 5
_DIM = 64  # numbers of a vector


@dataclass(frozen=True)
class Measured:
    """What a server took; milliseconds of processor time, seconds of the clock, and MiB."""

    click: float
    click_clock: float
    info: float
    label: float
    start: float
    memory: float


def make_studies(folder: Path, count: int) -> Path:
    """A folder of so many images, with a ranking, as if the scoring had just ended."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"image_{number:06d}.png"
        if number % _LINKS == 0:
            Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(path)
            first = path
        else:
            os.link(first, path)
    settings, preset, workspace = parse_settings(_CONF), PRESETS["xray"], Workspace(folder / ".xssr")
    images = {path.stem: path for path in sorted(folder.glob("*.png"))}
    store = EmbeddingStore(workspace.store)
    file = workspace.encoder(settings, preset)
    file.parent.mkdir(parents=True)
    save_encoder(file, settings.encoder, build_encoder(settings.encoder, preset), preset, {})
    encoder = load_encoder(file).id
    store.note(pipeline.encoder_note(file), {"id": encoder, "written": file.stat().st_mtime_ns})
    centres = rng.normal(size=(50, _DIM))
    values = centres[rng.integers(0, 50, count)] + 0.3 * rng.normal(size=(count, _DIM))
    vectors = zip(images.items(), values.astype(np.float32), strict=True)
    store.put(TARGET, encoder, [Vector(image, fingerprint(path), row) for (image, path), row in vectors])
    write_ranking(store, rank(encoder, images, [], settings, store, keep_terms=True))
    plane = tuple(tuple(row) for row in values[:, :2].tolist())
    plan = ColdStartPlan(
        encoder, str(settings.budget), settings.budget.of(count), tuple(images), plane, (0,) * count, ((2, 0.5),)
    )
    write_plan(store, plan)
    layout.update(store, encoder, images, settings, plan)
    store.close()
    return folder


def measure(studies: Path, log: Path) -> Measured:
    """Start the server, click, look, submit."""
    begin = time.monotonic()
    with start_server(studies, _CONF, log, wait=1800) as server:
        annotator = RestAnnotator(server.url)
        start = time.monotonic() - begin
        annotator.wait_until_ready(600)
        process = _server(server.pid)
        label = log.with_name("label.png")
        Image.fromarray(np.full((32, 32), 1, dtype=np.uint8)).save(label)
        annotator.submit(annotator.next_sample()["id"], label)  # what the first click and label have read is kept
        time.sleep(5)
        before, begin = _processor(process), time.monotonic()
        picks = [annotator.next_sample()["id"] for _ in range(_CLICKS)]
        clock = (time.monotonic() - begin) / _CLICKS
        click = (_processor(process) - before) / _CLICKS
        before = _processor(process)
        for pick in picks[:_LABELS]:
            annotator.submit(pick, label)
        submitted = (_processor(process) - before) / _LABELS
        before = _processor(process)
        for _ in range(_INFOS):
            urllib.request.urlopen(f"{server.url}/info/", timeout=60).read()
        info = (_processor(process) - before) / _INFOS
        memory = process.memory_info().rss / 2**20
    return Measured(1000 * click, 1000 * clock, 1000 * info, 1000 * submitted, start, memory)


def _server(pid: int) -> psutil.Process:
    """The process that listens: ``monailabel`` may be started by a shell."""
    process = psutil.Process(pid)
    return max([process, *process.children(recursive=True)], key=lambda one: one.memory_info().rss)


def _processor(process: psutil.Process) -> float:
    """Seconds of processor time of a process and of those that it started."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def run(counts: tuple[int, int] = (10_000, 100_000)) -> list[Bound]:
    """The bounds at the larger of two pools."""
    found = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            found[count] = measure(make_studies(Path(name) / "studies", count), Path(name) / "server.log")
    small, large = (found[count] for count in counts)
    at = f"at {counts[1]:,} images"
    growth = large.click / small.click
    return [
        Bound(
            f"next sample {at}, processor time",
            f"{large.click:.0f} ms (by the clock {large.click_clock:.0f})",
            "at most 30",
            large.click <= 30,
        ),
        Bound(
            f"the same / at {counts[0]:,}", f"{growth:.2f} ({small.click:.0f} ms there)", "at most 1.25", growth <= 1.25
        ),
        Bound(f"GET /info/ {at}, processor time", f"{large.info:.0f} ms", "under 50", large.info < 50),
        Bound(f"submitted label {at}, processor time", f"{large.label:.0f} ms", "under 100", large.label < 100),
        Bound(f"start of the server {at}", f"{large.start:.0f} s", "under 60", large.start < 60),
        Bound(f"memory of the server {at}", f"{large.memory:.0f} MiB", "under 2048", large.memory < 2048),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs=2, type=int, metavar="COUNT", help="images of the smaller and the larger pool")
    counts = parser.parse_args().counts
    show(run((counts[0], counts[1])), Console())
