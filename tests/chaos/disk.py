"""A disk that is full, and one that is read-only: a small tmpfs that holds the studies and the workspace."""

from __future__ import annotations

import io
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.chaos.clicks import Clicks, Refused, labels_on_disk
from tests.chaos.pool import damaged_databases, score, wait_until
from tests.chaos.table import Row
from tests.support.data import SHENZHEN, need
from tests.support.harness import copy_pool
from tests.support.warm import Kiln
from xssr_strategy.demo.server import Server
from xssr_strategy.errors import UserError

_IMAGES = 14
_CONF: dict[str, object] = {"labels": "lung", "encoder_steps": 4, "preset": "xray"}
_SENTENCES = {"full": "the disk is full; make room", "read-only": "cannot be written; make the disk"}


@contextmanager
def small_disk(folder: Path, megabytes: int = 96) -> Iterator[Path]:
    """A file system of its own; needs the right to mount."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the space that is left."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(os.urandom(4096))
    return filler


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Whatever is opened from here on cannot be written; files that are open already can."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


class DiskFaults:
    """One server on one small disk, whose operations are tried while the disk refuses and again afterwards."""

    def __init__(self, kiln: Kiln, folder: Path) -> None:
        self._kiln, self._folder = kiln, folder
        self._log = folder / "server.log"
        self._lost: list[str] = []
        self._refused: dict[str, int] = {}

    def run(self) -> list[Row]:
        need(SHENZHEN)
        ids = sorted(path.stem for path in (SHENZHEN / "images").iterdir())[:_IMAGES]
        with small_disk(self._folder / "disk") as disk:
            studies = copy_pool(SHENZHEN / "images", ids, disk / "studies")
            with self._kiln.server(studies, _CONF, self._log) as server:
                self._ready(server)
                self._submit_next(server, studies)
                filler = fill(disk)
                self._while_refused(server, studies, "full")
                filler.unlink()
                self._afterwards(server, studies, "there was space again")
                with read_only(studies):
                    self._while_refused(server, studies, "read-only")
                self._afterwards(server, studies, "the disk was writable again")
            filler = fill(disk)
            self._starts(studies, "full")
            filler.unlink()
            with read_only(studies):
                self._starts(studies, "read-only")
            with self._kiln.server(studies, _CONF, self._log) as server:
                self._submit_next(server, studies)
            self._lost += [f"{name} is damaged" for name in damaged_databases(studies)]
        if "Traceback" in self._log.read_text(encoding="utf-8", errors="replace"):
            self._lost.append("there is a traceback in the log")
        lost = tuple(self._lost)
        return [
            Row(f"disk {how}", count, tuple(one for one in lost if how in one), "one sentence each")
            for how, count in self._refused.items()
        ] + ([Row("disk, in the end", 1, left)] if (left := self._other(lost)) else [])

    def _other(self, lost: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for one in lost if not any(how in one for how in self._refused))

    def _while_refused(self, server: Server, studies: Path, how: str) -> None:
        clicks = Clicks(server.url)
        before, listed = labels_on_disk(studies), sorted(clicks.info()["datastore"].items())
        labelled = next(iter(before))
        waiting = sorted(path.stem for path in studies.glob("*.png") if path.stem not in before)[-1]
        new_image = {"file": ("new.png", (studies / f"{waiting}.png").read_bytes())}
        attempts: dict[str, Callable[[], Any]] = {
            "label": lambda: clicks.submit(waiting, _large_mask(studies / f"{waiting}.png")),
            "label over a label": lambda: clicks.submit(labelled, _large_mask(studies / f"{labelled}.png")),
            "image": lambda: clicks.ask("PUT", "/datastore/image", params={"image": "new"}, files=new_image),
            "training": lambda: self._background(server, clicks.train(max_epochs=1, steps_per_epoch=2), "train"),
        }
        for what, attempt in attempts.items():
            self._refuses(attempt, how, what)
        if how == "full":  # SQLite may find room in the files it has
            for image in studies.glob("*.png"):
                os.utime(image, (1, 1))
            self._refuses(lambda: self._background(server, score(server), "scoring"), how, "scoring", may_work=True)
            self._refuses(clicks.next_sample, how, "next sample", may_work=True)
        if labels_on_disk(studies) != before:
            self._lost.append(f"{how}: labels were changed by requests that were refused")
        if sorted(clicks.info()["datastore"].items()) != listed:
            self._lost.append(f"{how}: the pool was changed by requests that were refused")
        seen = clicks._session.get(f"{server.url}/datastore/image", params={"image": waiting}, timeout=300)
        if seen.content != (studies / f"{waiting}.png").read_bytes():
            self._lost.append(f"{how}: an image cannot be read any more")

    def _refuses(self, attempt: Callable[[], Any], how: str, what: str, may_work: bool = False) -> None:
        self._refused[how] = self._refused.get(how, 0) + 1
        try:
            answer = attempt()
        except Refused as refused:
            if refused.status != 507 or _SENTENCES[how] not in refused.sentence:
                self._lost.append(f"{how}: {what}: {refused}")
            return
        if not may_work:
            self._lost.append(f"{how}: {what} was not refused: {str(answer)[:200]}")

    def _background(self, server: Server, task: dict[str, Any], kind: str) -> Any:
        """Wait for a background process; a task that ends with an error is raised like an answer."""
        clicks = Clicks(server.url)
        wait_until(lambda: clicks.ask("GET", f"/{kind}/")["status"] not in ("SUBMITTED", "RUNNING"), 600)
        ended = clicks.ask("GET", f"/{kind}/")
        if ended["status"] == "DONE":
            return ended
        raise _Ended(ended)

    def _starts(self, studies: Path, how: str) -> None:
        """A start on such a disk works, or is refused with one line."""
        self._refused[how] += 1
        begin = len(self._log.read_text(encoding="utf-8", errors="replace"))
        try:
            with self._kiln.server(studies, _CONF, self._log) as server:
                Clicks(server.url).info()
        except UserError:
            told = self._log.read_text(encoding="utf-8", errors="replace")[begin:]
            if _SENTENCES[how] not in told:
                self._lost.append(f"{how}: the start was refused with {told[-300:]!r}")

    def _ready(self, server: Server) -> None:
        clicks = Clicks(server.url)
        wait_until(lambda: clicks.info()["scoring"]["xssr"]["state"] == "ready", 600)
        wait_until(clicks.nothing_runs, 600)

    def _submit_next(self, server: Server, studies: Path) -> None:
        clicks = Clicks(server.url)
        image = clicks.next_sample()["id"]
        content = (SHENZHEN / "labels" / f"{image}.png").read_bytes()
        clicks.submit(image, content)
        assert labels_on_disk(studies)[image] == content

    def _afterwards(self, server: Server, studies: Path, since: str) -> None:
        """Everything works as if nothing had been."""
        try:
            for image in studies.glob("*.png"):
                os.utime(image, (time.time(), time.time()))  # replaced, as far as the software knows: embedded again
            score(server)
            Clicks(server.url).train(max_epochs=1, steps_per_epoch=2)
            self._submit_next(server, studies)
            self._background(server, {}, "train")
            self._ready(server)
        except (Refused, TimeoutError, KeyError, AssertionError) as error:
            self._lost.append(f"after {since}: {error!r}")


class _Ended(Refused):
    """A background process that has ended with an error: its last line."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.status = 507
        self.text = "\n".join(task["details"])
        Exception.__init__(self, self.text[-500:])

    @property
    def sentence(self) -> str:
        return self.text


def _large_mask(image: Path) -> bytes:
    """A mask that fits the image and needs more space than is left: noise compresses badly."""
    width, height = Image.open(image).size
    noise = np.random.default_rng(0).integers(0, 2, (height, width), dtype=np.uint8) * 255
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()
