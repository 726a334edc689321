"""The real server on an archive of 2,000 series: a click beside MONAI Label's Random, and 20 clicks at once."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.bound import Bound
from benchmarks.server import STOCK_APP, clicks
from tests.support.dicom_series import write_phantom
from tests.support.harness import start_server
from tests.support.orthanc import Orthanc
from xssr_strategy.archive.dicom_seg import write_segmentation
from xssr_strategy.demo.annotator import RestAnnotator

_SERIES, _LABELLED = 2000, 40
_CLIENTS, _ROUNDS = 20, 5
_FILTER = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality":"MR"}'}


def run() -> list[Bound]:
    with tempfile.TemporaryDirectory() as name, Orthanc(Path(name) / "orthanc") as archive:
        folder = Path(name)
        _fill(archive, folder)
        conf = {"encoder_steps": 1, "labels": "organ"}
        ours = {
            **_FILTER,
            "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "ours"),
            "XDG_DATA_HOME": str(folder / "data"),
        }
        stocks = {**_FILTER, "MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "stocks")}
        stock_app = folder / "stock"
        stock_app.mkdir()
        (stock_app / "main.py").write_text(STOCK_APP)
        begin = time.perf_counter()
        with start_server(archive.url, conf, folder / "server.log", more=ours) as server:
            RestAnnotator(server.url).wait_until_ready(1800)
            ready = time.perf_counter() - begin
            with start_server(archive.url, {}, folder / "stock.log", stock_app, more=stocks) as other:
                xssr, random = clicks({"xssr": server.url, "random": other.url})
            together, images = _together(server.url)
    p50, p95 = (
        {name: float(np.percentile(times, q)) * 1000 for name, times in (("xssr", xssr), ("random", random))}
        for q in (50, 95)
    )
    at_once = float(np.percentile(together, 95)) * 1000
    return [
        Bound(
            f"next sample at {_SERIES} series of an archive, p95",
            f"{p95['xssr']:.0f} ms (median {p50['xssr']:.0f}); MONAI Label's Random {p95['random']:.0f} ms "
            f"(median {p50['random']:.0f}, slowest {1000 * max(random):.0f}); ready after {ready:.0f} s",
            "under 100 ms",
            p95["xssr"] < 100,
        ),
        Bound(
            f"{_CLIENTS} clients asking at once, {_ROUNDS} times, p95",
            f"{at_once:.0f} ms, {len(images)} answers, {len(set(images))} images",
            "under 500 ms, no image twice",
            at_once < 500 and len(set(images)) == len(images) == _CLIENTS * _ROUNDS,
        ),
    ]


def _fill(archive: Orthanc, folder: Path) -> None:
    """Small MR phantoms, some of them with a segmentation."""
    for number in range(_SERIES):
        made = folder / "series" / str(number)
        series = write_phantom(made, number, "MR", shape=(16, 16, 4))
        archive.load(series.files)
        if number < _LABELLED:
            write_segmentation(series.label, made, ("organ",), folder / "seg.dcm")
            archive.load([folder / "seg.dcm"])


def _together(url: str) -> tuple[list[float], list[str]]:
    """Seconds of each request of all clients, and the images they were given."""

    def ask(client: str) -> tuple[float, str]:
        body = json.dumps({"client_id": client}).encode()
        request = urllib.request.Request(f"{url}/activelearning/xssr", body, {"content-type": "application/json"})
        begin = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as answer:
            image = json.load(answer)["id"]
        return time.perf_counter() - begin, image

    given = []
    with ThreadPoolExecutor(_CLIENTS) as people:
        for _ in range(_ROUNDS):
            given += list(people.map(ask, [f"reader-{number}" for number in range(_CLIENTS)]))
    return [seconds for seconds, _ in given], [image for _, image in given]
