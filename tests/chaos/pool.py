"""The pool that the kills are tried on: real X-rays with their masks, and how an uninterrupted run goes on it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.clicks import Clicks, Refused
from tests.support.data import MONTGOMERY, SHENZHEN, need
from tests.support.harness import copy_pool
from tests.support.warm import Kiln
from tests.support.warm_tasks import HELPER
from xssr_strategy.demo.server import Server

_SOURCE = 24
CONF: dict[str, object] = {"labels": "lung", "encoder_steps": 24, "preset": "xray"}


@dataclass(frozen=True)
class Pool:
    """Folders made once and copied for each run.

    Attributes:
        ready: studies folder, embedded and ranked, nothing labelled.
        conf: of the server.
        masks: id -> bytes of the label.
        order: in which an uninterrupted run hands the images out, each labelled before the next is asked for.
    """

    ready: Path
    conf: dict[str, object]
    masks: dict[str, bytes]
    order: tuple[str, ...]

    def fresh(self, folder: Path, trained: bool) -> Path:
        """A copy with nothing embedded; with or without the encoder."""
        shutil.copytree(
            self.ready, folder, ignore=shutil.ignore_patterns("*.sqlite*", "*.lock", "labels", "datastore*")
        )
        if not trained:
            shutil.rmtree(folder / ".xssr")
        return folder

    def embedded(self, folder: Path) -> Path:
        """A copy with everything embedded and ranked."""
        shutil.copytree(self.ready, folder)
        return folder


def make_pool(kiln: Kiln, folder: Path, images: int) -> Pool:
    """Real X-rays: Montgomery is the source, Shenzhen the target."""
    need(SHENZHEN)
    ids = sorted(path.stem for path in (SHENZHEN / "images").iterdir())[:images]
    known = sorted(path.stem for path in (MONTGOMERY / "images").iterdir())[:_SOURCE]
    studies = copy_pool(SHENZHEN / "images", ids, folder / "pool")
    conf = {**CONF, "source": copy_pool(MONTGOMERY / "images", known, folder / "source")}
    masks = {image: (SHENZHEN / "labels" / f"{image}.png").read_bytes() for image in ids}
    ready = folder / "ready"
    with kiln.server(studies, conf, folder / "reference.log") as server:
        clicks = Clicks(server.url)
        wait_until(lambda: clicks.info()["scoring"]["xssr"]["state"] == "ready", 600)
        wait_until(clicks.nothing_runs, 600)
    shutil.copytree(studies, ready)
    order = []
    with kiln.server(studies, conf, folder / "reference.log") as server:
        clicks = Clicks(server.url)
        while image := clicks.next_sample().get("id"):
            clicks.submit(image, masks[image])
            order.append(image)
    assert sorted(order) == ids
    return Pool(ready, conf, masks, tuple(order))


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Look again and again.

    Raises:
        TimeoutError: the condition did not become true.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {seconds:.0f} s")
        time.sleep(0.05)


def workers(server: int) -> list[psutil.Process]:
    """The background processes of a server."""
    try:
        children = psutil.Process(server).children()
        return [it for it in children if it.status() != psutil.STATUS_ZOMBIE and it.name() != HELPER]
    except psutil.NoSuchProcess:
        return []


def score(server: Server) -> Any:
    """Start a scoring once none is running: the server starts some by itself."""
    deadline = time.monotonic() + 300
    while True:
        try:
            return Clicks(server.url).score()
        except Refused as refused:
            if refused.status != 429 or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def read(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows, read from beside the server; none while there is no database."""
    if not database.exists():
        return []
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)
    try:
        return db.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        db.close()


def stage(studies: Path) -> str:
    """What the scoring process says that it is doing, or an empty text."""
    rows = read(studies / ".xssr" / "embeddings.sqlite", "SELECT content FROM notes WHERE name = 'progress'")
    note = json.loads(rows[0][0]) if rows else None
    return "" if note is None or not psutil.pid_exists(note[0]) else str(note[2])


def vectors(studies: Path) -> dict[tuple[str, str, str], float]:
    """(domain, encoder, image) -> when the vector was written."""
    query = "SELECT domain, encoder, image, written FROM vectors"
    return {(d, e, i): when for d, e, i, when in read(studies / ".xssr" / "embeddings.sqlite", query)}


def leases(studies: Path) -> dict[str, str]:
    """image -> client of every lease that has not ended."""
    rows = read(studies / ".xssr" / "leases.sqlite", "SELECT image, client, ends FROM leases")
    return {image: client for image, client, ends in rows if ends > time.time()}


def damaged_databases(studies: Path) -> list[str]:
    """Databases of the workspace that SQLite finds damaged."""
    files = sorted((studies / ".xssr").glob("*.sqlite"))
    return [file.name for file in files if read(file, "PRAGMA integrity_check") != [("ok",)]]
