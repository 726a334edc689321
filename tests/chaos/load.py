"""Many annotators at once on a large pool: no error, no image given to two, every acknowledged label on disk."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import requests
from PIL import Image
from torch import nn

from tests.chaos.clicks import Clicks, Refused, labels_on_disk
from tests.chaos.memory import Held, growth
from tests.chaos.pool import wait_until
from tests.chaos.table import Row
from tests.support.foundations import script
from tests.support.warm import Kiln
from xssr_strategy.demo.server import Server

_CONF: dict[str, object] = {"labels": "lung", "preset": "xray"}
_GROWTH = 60.0  # MB that the server may grow by while thousands of requests come in
_THREADS = 60  # the web framework has 40 for uploads
_SIDE = 32

T = TypeVar("T")


class Load:
    """So many clients, for so many seconds, on so many images."""

    def __init__(self, kiln: Kiln, folder: Path, images: int, clients: int, seconds: float) -> None:
        self._kiln, self._folder = kiln, folder
        self._images, self._clients, self._seconds = images, clients, seconds
        self._lock = threading.Lock()
        self._times: dict[str, list[float]] = {"next sample": [], "label": []}
        self._given: dict[str, str] = {}
        self._acknowledged: dict[str, bytes] = {}
        self._lost: list[str] = []

    def run(self) -> Row:
        studies = write_images(self._folder / "studies", self._images)
        # How long thousands of images take to embed is not what is asked here.
        encoder = script(self._folder / "mean.ts", nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten()))
        conf = {**_CONF, "encoder": f"torchscript:{encoder}"}
        with self._kiln.server(studies, conf, self._folder / "server.log") as server:
            clicks = Clicks(server.url)
            wait_until(lambda: clicks.info()["scoring"]["xssr"]["state"] == "ready", 1200)
            wait_until(clicks.nothing_runs, 600)
            held = self._under_load(server)
        self._compare(studies)
        if (more := growth([one.megabytes for one in held])) > _GROWTH:
            self._lost.append(f"the memory of the server grew by {more:.0f} MB")
        if held[-1].files > held[0].files + self._clients + 20 or held[-1].threads > _THREADS:
            self._lost.append(f"the server holds more and more: first {held[0]}, last {held[-1]}")
        return Row(
            f"{self._clients} clients for {self._seconds:.0f} s on {self._images} images",
            sum(len(times) for times in self._times.values()),
            tuple(self._lost),
            f"{self._figures()}; memory {', '.join(f'{one.megabytes:.0f}' for one in _some(held))} MB",
        )

    def _under_load(self, server: Server) -> list[Held]:
        end = time.monotonic() + self._seconds
        threads = [threading.Thread(target=self._annotate, args=(server, n, end)) for n in range(self._clients)]
        for thread in threads:
            thread.start()
        held = []
        while time.monotonic() < end:
            held.append(Held.by(server.pid))
            time.sleep(0.5)
        for thread in threads:
            thread.join()
        return held

    def _annotate(self, server: Server, number: int, end: float) -> None:
        clicks = Clicks(server.url, f"reader-{number}", patience=300)
        while time.monotonic() < end:
            try:
                image = self._timed("next sample", clicks.next_sample).get("id")
                if image is None:
                    return
                with self._lock:
                    if image in self._given:
                        self._lost.append(f"{image} went to {self._given[image]} and to {clicks.name}")
                    self._given[image] = clicks.name
                content = mask(image)
                self._timed("label", lambda: clicks.submit(image, content))  # noqa: B023 - called at once
                with self._lock:
                    self._acknowledged[image] = content
            except (Refused, requests.RequestException) as error:
                with self._lock:
                    self._lost.append(repr(error))

    def _timed(self, what: str, ask: Callable[[], T]) -> T:
        begin = time.perf_counter()
        answer = ask()
        with self._lock:
            self._times[what].append(time.perf_counter() - begin)
        return answer

    def _compare(self, studies: Path) -> None:
        there = labels_on_disk(studies)
        for image, content in self._acknowledged.items():
            if there.get(image) != content:
                self._lost.append(f"the label of {image} is not on the disk as it was submitted")

    def _figures(self) -> str:
        parts = []
        for what, times in self._times.items():
            p50, p95 = np.percentile(times, (50, 95))
            parts.append(f"{len(times)} {what}: median {p50:.2f} s, p95 {p95:.2f} s")
        return "; ".join(parts)


def write_images(folder: Path, count: int) -> Path:
    """Small pictures of noise."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (count, _SIDE, _SIDE), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"image_{number:05d}.png")
    return folder


def mask(image: str) -> bytes:
    """A label of its own for each image."""
    pixels = np.zeros((_SIDE, _SIDE), np.uint8)
    pixels.flat[: 1 + int(image.rpartition("_")[2]) % (_SIDE * _SIDE)] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _some(held: Sequence[Held]) -> list[Held]:
    """Five of them, evenly."""
    return [held[int(place)] for place in np.linspace(0, len(held) - 1, 5)]
