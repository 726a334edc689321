r"""The server on pools of ten and a hundred thousand images: a click, ``/info/``, a label, the start.

    python -m benchmarks.large_pool folder 10000 100000
    python -m benchmarks.large_pool archive 10000 100000

Images and vectors are made up: the images of a folder are links to a few pictures, the series of an archive are a list
and no files, and no encoder has seen them. The server is the real one; for the archive it does not start the scoring,
which would fetch the series. Processor time is that of the server and of what it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
from PIL import Image
from rich.console import Console

from benchmarks.bound import Bound, show
from tests.support.harness import archive_environment, start_server
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import load_encoder, save_encoder
from xssr_strategy.embedding.store import TARGET, EmbeddingStore, Vector
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.pool import pipeline
from xssr_strategy.pool.cold_start_plan import ColdStartPlan, write_plan
from xssr_strategy.pool.ranking import rank, write_ranking
from xssr_strategy.pool.workspace import Workspace, server_workspace
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
    label: float | None
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
    images = {path.stem: fingerprint(path) for path in sorted(folder.glob("*.png"))}
    _rank(Workspace(folder / ".xssr"), images)
    return folder


def _rank(workspace: Workspace, images: Mapping[str, str]) -> None:
    """Vectors, ranking, clusters and map of a pool; image -> fingerprint."""
    settings, preset = parse_settings(_CONF), PRESETS["xray"]
    rng, count = np.random.default_rng(0), len(images)
    store = EmbeddingStore(workspace.store)
    file = workspace.encoder(settings, preset)
    file.parent.mkdir(parents=True)
    save_encoder(file, settings.encoder, build_encoder(settings.encoder, preset), preset, {})
    encoder = load_encoder(file).id
    store.note(pipeline.encoder_note(file), {"id": encoder, "written": file.stat().st_mtime_ns})
    centres = rng.normal(size=(50, _DIM))
    values = (centres[rng.integers(0, 50, count)] + 0.3 * rng.normal(size=(count, _DIM))).astype(np.float32)
    store.put(TARGET, encoder, [Vector(*item, row) for item, row in zip(images.items(), values, strict=True)])
    write_ranking(store, rank(encoder, images, [], settings, store, keep_terms=True))
    plane = tuple(tuple(row) for row in values[:, :2].tolist())
    budget = settings.budget.of(count)
    plan = ColdStartPlan(encoder, str(settings.budget), budget, tuple(images), plane, (0,) * count, ((2, 0.5),))
    write_plan(store, plan)
    layout.update(store, encoder, images, settings, plan)
    store.close()


def measure(
    studies: Path | str, folder: Path, labels: int = _LABELS, more: Mapping[str, str] | None = None
) -> Measured:
    """Start the server, click, submit so many labels, look at ``/info/``."""
    begin = time.monotonic()
    with start_server(studies, _CONF, folder / "server.log", wait=1800, more=more) as server:
        annotator = RestAnnotator(server.url)
        start = time.monotonic() - begin
        process = _server(server.pid)
        label = folder / "label.png"
        Image.fromarray(np.full((32, 32), 1, dtype=np.uint8)).save(label)
        first = annotator.next_sample()["id"]  # what the first click and label have read is kept
        if labels:
            annotator.submit(first, label)
        time.sleep(5)
        before, begin = _processor(process), time.monotonic()
        picks = [annotator.next_sample()["id"] for _ in range(_CLICKS)]
        clock = (time.monotonic() - begin) / _CLICKS
        click = (_processor(process) - before) / _CLICKS
        before = _processor(process)
        for pick in picks[:labels]:
            annotator.submit(pick, label)
        submitted = 1000 * (_processor(process) - before) / labels if labels else None
        before = _processor(process)
        for _ in range(_INFOS):
            urllib.request.urlopen(f"{server.url}/info/", timeout=60).read()
        info = (_processor(process) - before) / _INFOS
        memory = process.memory_info().rss / 2**20
    return Measured(1000 * click, 1000 * clock, 1000 * info, submitted, start, memory)


def _server(pid: int) -> psutil.Process:
    """The process that listens: ``monailabel`` may be started by a shell."""
    process = psutil.Process(pid)
    return max([process, *process.children(recursive=True)], key=lambda one: one.memory_info().rss)


def _processor(process: psutil.Process) -> float:
    """Seconds of processor time of a process and of those that it started."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


@contextmanager
def listed_archive(count: int) -> Iterator[str]:
    """The URL of a DICOMweb service that lists so many series, each a study of its own, and gives none of them."""

    class Handler(BaseHTTPRequestHandler):
        """Searches, and nothing else."""

        protocol_version, wbufsize = "HTTP/1.1", 2**16  # an answer is one packet

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/series" and "offset" not in query and "SEG" not in query:
                found = range(count)
            elif path.startswith("/studies/") and path.endswith("/series"):
                number = int(path.split("/")[2].rpartition(".")[2])
                found = range(number, number + 1)
            else:
                found = range(0)
            content = json.dumps([_listed(number) for number in found]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/dicom+json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{service.server_port}"
        service.shutdown()


def _listed(number: int) -> dict[str, object]:
    """A series in DICOM JSON."""
    texts = {"0020000E": ("UI", f"1.2.{number}"), "0020000D": ("UI", f"1.1.{number}"), "00080060": ("CS", "CT")}
    texts |= {"00100020": ("LO", f"patient {number}"), "00080020": ("DA", "20260101")}
    return {tag: {"vr": kind, "Value": [text]} for tag, (kind, text) in texts.items()}


def _measured(kind: str, count: int) -> Measured:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "folder":
            return measure(make_studies(folder / "studies", count), folder)
        with listed_archive(count) as url:
            more = archive_environment(folder, {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false"})
            with patch.dict(os.environ, more):
                workspace = server_workspace(url, parse_settings(_CONF))
            _rank(workspace, {f"1.2.{number}": "as listed" for number in sorted(range(count), key=str)})
            return measure(url, folder, 0, more)


def run(kind: str = "folder", counts: tuple[int, int] = (10_000, 100_000)) -> list[Bound]:
    """The bounds at the larger of two pools."""
    small, large = (_measured(kind, count) for count in counts)
    at = f"at {counts[1]:,} {'images' if kind == 'folder' else 'series of an archive'}"
    growth, spoken = large.click / small.click, f"{large.click:.0f} ms (by the clock {large.click_clock:.0f})"
    there = f"{growth:.2f} ({small.click:.0f} ms there)"
    bounds = [
        Bound(f"next sample {at}, processor time", spoken, "at most 30 ms", large.click <= 30),
        Bound(f"the same / at {counts[0]:,}", there, "at most 1.25", growth <= 1.25),
        Bound(f"GET /info/ {at}, processor time", f"{large.info:.0f} ms", "under 50 ms", large.info < 50),
        Bound(f"start of the server {at}", f"{large.start:.0f} s", "under 60 s", large.start < 60),
        Bound(f"memory of the server {at}", f"{large.memory:.0f} MiB", "under 2048 MiB", large.memory < 2048),
    ]
    if large.label is not None:
        told = f"submitted label {at}, processor time"
        bounds.append(Bound(told, f"{large.label:.0f} ms", "under 100 ms", large.label < 100))
    return bounds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("folder", "archive"))
    parser.add_argument("counts", nargs=2, type=int, metavar="COUNT", help="images of the smaller and the larger pool")
    arguments = parser.parse_args()
    show(run(arguments.kind, tuple(arguments.counts)), Console())
