"""The real server on 5,000 images: a repeated scoring run, and the answer to a click beside MONAI Label's Random."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.bound import Bound
from tests.support.harness import APP, environment, start_server
from xssr_strategy.demo.annotator import RestAnnotator

_IMAGES = 5000
_CLICKS = 100

STOCK_APP = """
from monailabel.interfaces.app import MONAILabelApp


class Stock(MONAILabelApp):
    \"\"\"MONAI Label as it is: its own datastore and its own Random, nothing of ours.\"\"\"
"""


def run() -> list[Bound]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = _studies(folder / "studies")
        conf = {"encoder_steps": 1, "preset": "xray", "labels": "lung"}
        stock_app, stock_studies = folder / "stock", shutil.copytree(studies, folder / "stock-studies")
        stock_app.mkdir()
        (stock_app / "main.py").write_text(STOCK_APP)
        with start_server(studies, conf, folder / "server.log") as server:
            RestAnnotator(server.url).wait_until_ready(1800)
            with start_server(stock_studies, {}, folder / "stock.log", stock_app) as other:
                ours, stock = clicks({"xssr": server.url, "random": other.url})
        again = _repeated_scoring(studies, conf)
    p95 = [float(np.percentile(times, 95)) * 1000 for times in (ours, stock)]
    p50 = [float(np.percentile(times, 50)) * 1000 for times in (ours, stock)]
    return [
        Bound(
            f"next sample at {_IMAGES} images, p95: xssr / MONAI Label's Random",
            f"{p95[0] / p95[1]:.2f} ({p95[0]:.0f} against {p95[1]:.0f} ms; medians {p50[0]:.0f} and {p50[1]:.0f})",
            "below 1",
            p95[0] < p95[1],
        ),
        Bound(
            f"repeated scoring run at {_IMAGES} images", f"{again:.2f} s beyond process start", "under 2 s", again < 2
        ),
    ]


def _studies(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(_IMAGES):
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"image_{number:05d}.png")
    return folder


def clicks(servers: dict[str, str]) -> tuple[list[float], list[float]]:
    """Seconds per request of each strategy at its own server, asked in turn."""
    times: dict[str, list[float]] = {"xssr": [], "random": []}
    body = json.dumps({"client_id": "bench"}).encode()
    for _ in range(_CLICKS):
        for strategy, seconds in times.items():
            request = urllib.request.Request(
                f"{servers[strategy]}/activelearning/{strategy}", body, {"content-type": "application/json"}
            )
            begin = time.perf_counter()
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["id"]
            seconds.append(time.perf_counter() - begin)
    return times["xssr"], times["random"]


def _repeated_scoring(studies: Path, conf: dict[str, object]) -> float:
    """Seconds that MONAI Label's background process takes for a scoring run, its imports aside."""
    program = (
        "import time, monailabel.interfaces.utils.app as process, xssr_strategy.tasks.scoring, "
        "xssr_strategy.tasks.segmentation_trainer, xssr_strategy.tasks.segmentation_infer\n"
        "begin = time.perf_counter()\n"
        "app = process.app_instance()\n"
        "assert app.scoring({'method': 'xssr'})['state'] == 'ready'\n"
        "print('seconds', time.perf_counter() - begin)\n"
    )
    settings = {
        "MONAI_LABEL_APP_DIR": str(APP),
        "MONAI_LABEL_STUDIES": str(studies),
        "MONAI_LABEL_APP_CONF": json.dumps({key: str(value) for key, value in conf.items()}),
    }
    output = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment(), **settings},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    return float(output.split("seconds ")[-1].split()[0])
