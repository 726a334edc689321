"""SIGKILL while images are handed out, labels submitted and networks trained: no acknowledged label is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.chaos.clicks import BROKEN, Clicks, labels_on_disk
from tests.chaos.pool import Pool, damaged_databases, leases, vectors, wait_until, workers
from tests.chaos.table import Row
from tests.support.warm import Kiln
from xssr_strategy.demo.server import Server
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.publication import load_model

_NAME = "reader"
_TRAINING = {"max_epochs": 2, "steps_per_epoch": 3}
_LEARNS, _ENDED = b"training on ", b"published "  # in the log
_IN_TRAINING = 0.2  # of the kills


class AnnotatingKills:
    """One annotator goes through the pool in the order that the server gives; the server is killed over and over."""

    def __init__(self, kiln: Kiln, pool: Pool, folder: Path, seed: int) -> None:
        self._kiln, self._pool, self._folder = kiln, pool, folder
        self._random = random.Random(seed)
        self._log = folder / "server.log"
        self._doing = "idle"
        self._hits: Counter[str] = Counter()
        self._lost: list[str] = []
        self._restarts: list[float] = []
        self._labels = 0
        self._models = 0

    def run(self, kills: int) -> Row:
        hit, runs = 0, 0
        while hit < kills:
            studies = self._pool.embedded(self._folder / f"run-{runs}")
            hit += self._through_the_pool(studies, kills - hit)
            runs += 1
            shutil.rmtree(studies)
        told = ", ".join(f"{count} {name}" for name, count in self._hits.most_common())
        figures = (
            f"{told}; {self._labels} labels acknowledged, {self._models} models seen; "
            f"restart {sum(self._restarts) / len(self._restarts):.1f} s, at most {max(self._restarts):.1f}"
        )
        return Row("SIGKILL in next sample, label and training", hit, tuple(self._lost), figures)

    def _through_the_pool(self, studies: Path, kills: int) -> int:
        """One pass over the pool with at most so many kills; their number."""
        acknowledged: dict[str, bytes] = {}
        embedded = vectors(studies)
        hit = 0
        while len(acknowledged) < len(self._pool.order):
            begin = time.monotonic()
            with self._kiln.server(studies, self._pool.conf, self._log) as server:
                self._restarts.append(time.monotonic() - begin)
                doom = self._doom(server) if hit < kills else None
                held = leases(studies)
                try:
                    self._annotate(server, studies, acknowledged, held)
                except BROKEN as error:
                    if doom is None:
                        self._lost.append(f"without a kill: {error!r}")
                if doom is not None:
                    doom.join()
                    hit += 1
            if doom is None:
                break
            for worker in workers(server.pid):
                worker.kill()
            when = f"kill {hit}"
            self._lost += [f"{when}: {name} is damaged" for name in damaged_databases(studies)]
            if vectors(studies) != embedded:
                self._lost.append(f"{when}: finished vectors are gone or were computed again")
            self._whole_labels(studies, acknowledged, when)
            self._whole_model(studies, when)
        return hit

    def _doom(self, server: Server) -> threading.Thread:
        """Kills all processes of the server at a random moment."""
        share = self._random.random()
        in_training = share < _IN_TRAINING  # once the network learns, which takes its process a while
        shortest, longest = (0, 8) if in_training else (0.05, 4) if share < 0.7 else (4, 8)
        pause = self._random.uniform(shortest, longest)
        spared = self._random.random() < 0.3  # the server, so that only the training dies first
        begin = self._log.stat().st_size

        def kill() -> None:
            if in_training:
                with suppress(TimeoutError):
                    wait_until(lambda: _LEARNS in self._log.read_bytes()[begin:], 60)
            time.sleep(pause)
            self._hits["training" if self._learns(begin) else "start of a process"] += bool(workers(server.pid))
            if spared:
                for worker in workers(server.pid):
                    with suppress(ProcessLookupError):
                        worker.kill()
                time.sleep(0.5)
            self._hits[self._doing] += 1
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        return thread

    def _learns(self, begin: int) -> bool:
        """Whether the training of this server has begun and its network is not published yet."""
        told = self._log.read_bytes()[begin:]
        return _LEARNS in told and _ENDED not in told

    def _annotate(self, server: Server, studies: Path, acknowledged: dict[str, bytes], held: dict[str, str]) -> None:
        """Ask, label, ask again, until nothing is left or the server dies."""
        clicks = Clicks(server.url, _NAME)
        trained = 0
        for image in held.keys() - labels_on_disk(studies).keys():  # handed out a moment before the kill
            self._submit(clicks, image, acknowledged)
        while True:
            if len(acknowledged) >= 2 and trained == 0:
                clicks.train(**_TRAINING)
                trained = 1
            self._doing = "next sample"
            image = clicks.next_sample().get("id")
            self._doing = "idle"
            if image is None:
                return
            expected = self._pool.order[len(labels_on_disk(studies))]
            if image != expected:
                self._lost.append(f"after {len(acknowledged)} labels {image} was handed out, not {expected}")
            self._submit(clicks, image, acknowledged)
            time.sleep(self._random.expovariate(4))

    def _submit(self, clicks: Clicks, image: str, acknowledged: dict[str, bytes]) -> None:
        self._doing = "label"
        clicks.submit(image, self._pool.masks[image])
        self._doing = "idle"
        acknowledged[image] = self._pool.masks[image]
        self._labels += 1

    def _whole_labels(self, studies: Path, acknowledged: dict[str, bytes], when: str) -> None:
        there = labels_on_disk(studies)
        self._lost += [f"{when}: the label of {image} is gone" for image in acknowledged.keys() - there.keys()]
        for image, content in there.items():
            if content != self._pool.masks[image]:
                self._lost.append(f"{when}: the label of {image} is not what was submitted")
        acknowledged.update(there)  # one that came in whole, although nobody was told

    def _whole_model(self, studies: Path, when: str) -> None:
        published = studies / ".xssr" / "model" / "segmentation.pt"
        if not published.exists():
            return
        try:
            load_model(published)
            self._models += 1
        except UserError as error:
            self._lost.append(f"{when}: {error}")
