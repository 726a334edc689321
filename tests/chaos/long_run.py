"""Months in minutes: hundreds of scoring rounds while images arrive and labels grow; nothing may pile up."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.chaos.clicks import Clicks
from tests.chaos.load import mask, write_images
from tests.chaos.memory import Held, growth
from tests.chaos.pool import wait_until
from tests.chaos.scorer import Scorer
from tests.chaos.table import Row
from tests.support.warm import Kiln

_CONF: dict[str, object] = {"labels": "lung", "encoder_steps": 1, "preset": "xray"}
_ARRIVES = 4  # rounds from one new image to the next
_GROWTH = 40.0  # MB; the vectors of 500 images are 1
_EACH = 1.5  # by how much the workspace may outgrow its images: SQLite grows in pages


@dataclass(frozen=True)
class Round:
    """What is there after a round.

    Attributes:
        held, scorer: by the server, and by the process that scores.
        images: of the pool.
        workspace: bytes.
        temporary: files left of the server.
    """

    held: Held
    scorer: Held
    images: int
    workspace: int
    temporary: int


class LongRun:
    """So many rounds, each with a label more, every fourth with an image more; some in processes of their own."""

    def __init__(self, kiln: Kiln, folder: Path, rounds: int, own_process: int = 50) -> None:
        self._kiln, self._folder = kiln, folder
        self._rounds, self._own_process = rounds, own_process
        self._first = rounds + 10  # images at the beginning: one is labelled in each round
        self._lost: list[str] = []

    def run(self) -> Row:
        arriving = self._rounds // _ARRIVES
        everything = sorted(write_images(self._folder / "all", self._first + arriving).iterdir())
        studies, temporary = self._folder / "studies", self._folder / "tmp"
        studies.mkdir()
        temporary.mkdir()
        for image in everything[: self._first]:
            shutil.copy2(image, studies)
        seen: list[Round] = []
        log = self._folder / "server.log"
        with self._kiln.server(studies, _CONF, log, more={"TMPDIR": str(temporary)}) as server:
            clicks = Clicks(server.url)
            wait_until(lambda: clicks.info()["scoring"]["xssr"]["state"] == "ready", 600)
            wait_until(clicks.nothing_runs, 600)
            with Scorer(studies, _CONF, self._folder / "scorer.log") as scorer:
                waiting = everything[self._first :]
                for number in range(1, self._rounds + 1):
                    image = waiting.pop(0) if number % _ARRIVES == 0 else None
                    self._round(clicks, scorer, studies, image, number % self._own_process == 0)
                    workspace = sum(file.stat().st_size for file in (studies / ".xssr").rglob("*") if file.is_file())
                    held = Held.by(server.pid), Held.by(scorer.pid)
                    left = sum(1 for _ in temporary.rglob("*"))
                    seen.append(Round(*held, self._first + number // _ARRIVES, workspace, left))
            state = clicks.info()["scoring"]["xssr"]
        if (state["embedded"], state["pool"]) != (self._first + arriving,) * 2:
            self._lost.append(f"in the end {state['embedded']} of {state['pool']} images are embedded")
        self._nothing_piles_up(seen)
        return Row(f"{self._rounds} scoring rounds on a growing pool", self._rounds, tuple(self._lost), _figures(seen))

    def _round(self, clicks: Clicks, scorer: Scorer, studies: Path, image: Path | None, own_process: bool) -> None:
        if image is not None:
            self._arrive(clicks, studies, image)
        if not own_process:  # or the click starts one
            scorer.score("xssr")
            if image is not None:
                scorer.score("map")
        picked = clicks.next_sample()["id"]
        clicks.submit(picked, mask(picked))
        if own_process:
            wait_until(clicks.nothing_runs, 600)

    def _arrive(self, clicks: Clicks, studies: Path, image: Path) -> None:
        """An image comes in as rsync brings it, and is noticed."""
        arriving = studies / f".{image.name}.copying"
        shutil.copyfile(image, arriving)
        arriving.rename(studies / image.name)
        wait_until(lambda: image.stem in clicks.ask("GET", "/datastore/", params={"output": "all"})["objects"], 300)

    def _nothing_piles_up(self, seen: Sequence[Round]) -> None:
        for name, held in (("server", [one.held for one in seen]), ("scoring", [one.scorer for one in seen])):
            if (more := growth([one.megabytes for one in held])) > _GROWTH:
                self._lost.append(f"the memory of the {name} process grew by {more:.0f} MB")
            for what in ("files", "threads", "processes"):
                if growth([float(getattr(one, what)) for one in held]) > 3:
                    self._lost.append(f"{what} of the {name} process pile up: first {held[0]}, last {held[-1]}")
        if seen[-1].temporary > seen[0].temporary + 3:
            self._lost.append(
                f"{seen[-1].temporary} temporary files are left, {seen[0].temporary} after the first round"
            )
        fifth = seen[len(seen) // 5]
        if seen[-1].workspace / seen[-1].images > _EACH * fifth.workspace / fifth.images:
            self._lost.append("the workspace outgrows its images")


def _figures(seen: Sequence[Round]) -> str:
    some = [seen[int(place)] for place in np.linspace(0, len(seen) - 1, 5)]
    memory, scorer = (", ".join(f"{getattr(one, who).megabytes:.0f}" for one in some) for who in ("held", "scorer"))
    files, threads = (f"{getattr(seen[0].held, w)} to {getattr(seen[-1].held, w)} {w}" for w in ("files", "threads"))
    size = ", ".join(f"{one.workspace / one.images / 1024:.0f}" for one in some)
    return f"memory {memory} MB, scoring {scorer}; {files}, {threads}; workspace {size} KB an image"
