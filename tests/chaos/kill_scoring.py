"""SIGKILL in encoder training, embedding and ranking: nothing finished is done again, and the order of picks stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

from tests.chaos.clicks import BROKEN, Clicks
from tests.chaos.pool import Pool, damaged_databases, score, stage, vectors, wait_until, workers
from tests.chaos.table import Row
from tests.support.warm import Kiln
from xssr_strategy.demo.server import Server

_VICTIMS = ("server and background process", "background process", "server alone")
_PICKS = 5  # compared with those of an uninterrupted run
_IN_ONE_RUN = 8  # kills, or a run that begins with the encoder's training would never come beyond it


class ScoringKills:
    """Kills until so many have hit; the work starts over, from nothing, whenever it has come to its end."""

    def __init__(self, kiln: Kiln, pool: Pool, folder: Path, seed: int) -> None:
        self._kiln, self._pool, self._folder = kiln, pool, folder
        self._random = random.Random(seed)
        self._stages: Counter[str] = Counter()
        self._lost: list[str] = []
        self._log = folder / "server.log"

    def run(self, kills: int) -> Row:
        hit, runs = 0, 0
        while hit < kills:
            studies = self._pool.fresh(self._folder / f"run-{runs}", trained=runs % 2 == 1)
            hit += self._until_ready(studies, min(kills - hit, _IN_ONE_RUN))
            runs += 1
            shutil.rmtree(studies)
        told = ", ".join(f"{count} {name}" for name, count in self._stages.most_common())
        return Row("SIGKILL in scoring and encoder training", hit, tuple(self._lost), f"{told}; {runs} whole runs")

    def _until_ready(self, studies: Path, kills: int) -> int:
        """Kill at most so often, then let the work end; the number of kills."""
        hit = 0
        before: dict[tuple[str, str, str], float] = {}
        while True:
            with self._kiln.server(studies, self._pool.conf, self._log) as server:
                alive = True
                while alive and hit < kills and not self._is_ready(server):
                    victim = self._random.choice(_VICTIMS)
                    if not self._kill(server, studies, victim):
                        continue
                    hit += 1
                    before = self._nothing_lost(studies, before, f"kill {hit}, {victim}")
                    alive = victim == "background process"
                    if alive:
                        score(server)  # as the next click of an annotator does
                if not alive:
                    continue
                wait_until(lambda: self._is_ready(server), 600)
                self._nothing_lost(studies, before, "the end")
                self._same_picks(server)
                return hit

    def _kill(self, server: Server, studies: Path, victim: str) -> bool:
        """Kill at a random moment of the work; False if the work has ended meanwhile."""
        wait_until(lambda: bool(workers(server.pid)) or self._is_ready(server), 600)
        if self._random.random() < 0.8:  # in the work itself rather than while Python imports
            wait_until(lambda: bool(stage(studies)) or not workers(server.pid), 600)
        deadline = time.monotonic() + self._random.choice((0.1, 1, 8)) * self._random.random()
        while time.monotonic() < deadline and workers(server.pid):
            time.sleep(0.01)
        found = workers(server.pid)
        if not found:
            return False
        self._stages[stage(studies) or "while it starts"] += 1
        if victim == "background process":
            for worker in found:
                worker.kill()
        elif victim == "server alone":
            os.kill(server.pid, signal.SIGKILL)
            time.sleep(self._random.uniform(0, 2))  # what it does without its server is good work too
            for worker in found:
                worker.kill()
        else:
            os.killpg(server.pid, signal.SIGKILL)
        wait_until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in found), 300)
        return True

    def _nothing_lost(
        self, studies: Path, before: dict[tuple[str, str, str], float], when: str
    ) -> dict[tuple[str, str, str], float]:
        now = vectors(studies)
        again = [key for key, written in before.items() if now.get(key) != written]
        if again:
            self._lost.append(f"{when}: {len(again)} finished vectors are gone or were computed again")
        self._lost += [f"{when}: {name} is damaged" for name in damaged_databases(studies)]
        return now

    def _is_ready(self, server: Server) -> bool:
        try:
            return bool(Clicks(server.url).info()["scoring"]["xssr"]["state"] == "ready")
        except BROKEN:
            return False

    def _same_picks(self, server: Server) -> None:
        clicks = Clicks(server.url)
        picks = tuple(clicks.next_sample()["id"] for _ in range(_PICKS))
        if picks != self._pool.order[:_PICKS]:
            self._lost.append(f"the picks {picks} are not those of an uninterrupted run")
