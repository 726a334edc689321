"""A function over the images of a pool, in processes of this machine or on the nodes of a Ray cluster.

An image that ends the process which reads it costs itself: each process notes what it is reading, and what was being
read at its end is tried in a process of its own.
"""

from __future__ import annotations

import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from xssr_strategy.errors import UserError
from xssr_strategy.images.journal import ReadingJournal, names_being_read, refusal
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel.cluster import connected
from xssr_strategy.parallel.processes import environment, inherited, worker_pool

_ENDS = 5  # ends of processes, without an image to blame, after which the work is given up (our choice)
_NOBODY = ""
_JOURNALS = "reading-*.json"

T = TypeVar("T", covariant=True)
Found = list[tuple[str, Any]]
Batch = dict[str, Path]


class ImageFunction(Protocol[T]):
    """What is computed of images. It is sent to other processes, and equal ones do the same."""

    def open(
        self, journal: ReadingJournal
    ) -> Callable[[Mapping[str, Path]], Iterable[tuple[str, T | UnreadableImage]]]:
        """The function itself, which a process asks for once: image -> path, to pairs of image and result.

        Args:
            journal: that guards whatever reads an image.
        """

    def __hash__(self) -> int:
        """Of a frozen dataclass."""


@dataclass(frozen=True)
class Workers:
    """Where the work is done.

    Attributes:
        count: processes of one thread each; with a cluster, as many as it has processors for.
        address: of a Ray cluster, whose nodes see the files under the same paths; None for this machine.
    """

    count: int = 1
    address: str | None = None


def map_images(
    function: ImageFunction[T], images: Mapping[str, Path], workers: Workers, folder: Path, batch: int
) -> Iterator[list[tuple[str, T | UnreadableImage]]]:
    """Yield what is found of each batch of images, in the order in which batches end.

    Args:
        function: what is computed.
        images: id -> path.
        workers: who does it.
        folder: of the workspace, for notes on what is being read.
        batch: images of a batch, which is what the end of a process costs.

    Raises:
        UserError: processes are ended again and again, or the cluster cannot be used.
    """
    todo = _Todo(images, folder, batch)
    yield from todo.blamed()
    while todo.batches:
        run = _on_this_machine if workers.address is None else partial(_on_cluster, workers.address)
        for found in run(function, todo, workers.count, folder):  # until all is done, or a process has ended
            todo.ends[_NOBODY] = 0
            yield found
        yield from todo.blamed()


class _Todo:
    """What is not done yet.

    Attributes:
        batches: to do.
        ends: path of an image -> ends of processes at which it was being read; those without one under ``_NOBODY``.
    """

    def __init__(self, images: Mapping[str, Path], folder: Path, batch: int) -> None:
        items = list(images.items())
        self.batches = deque(dict(items[start : start + batch]) for start in range(0, len(items), batch))
        self._folder = folder
        self.ends: Counter[str] = Counter()

    def lost(self, batches: Iterable[Batch]) -> None:
        """The processes that had these batches have ended."""
        self.batches.extendleft(batches)
        self.ends[_NOBODY] += 1

    def blamed(self) -> Iterator[Found]:
        """Set aside the images by which processes have ended.

        Raises:
            UserError: processes were ended five times, and not by an image.
        """
        suspects = names_being_read(self._folder, _JOURNALS)
        refused = {}
        for name in suspects:
            self.ends[name] += 1
            reason = refusal(Path(name), self.ends[name])
            if reason is not None:
                refused[name] = UnreadableImage(f"{name}: {reason}")
        found = []
        for batch in self.batches:
            for image in [image for image, path in batch.items() if str(path.absolute()) in refused]:
                found.append((image, refused[str(batch.pop(image).absolute())]))
        self.batches = deque(batch for batch in self.batches if batch)
        if found:
            self.ends[_NOBODY] = 0
            yield found
        elif self.ends[_NOBODY] >= _ENDS:
            raise UserError(
                f"the processes were ended from outside {_ENDS} times in a row, perhaps for want of memory; "
                "run again with fewer --workers: what is finished is kept."
            )


def _on_this_machine(function: ImageFunction[Any], todo: _Todo, count: int, folder: Path) -> Iterator[Found]:
    """Until all is done or a process has ended."""
    waiting: dict[Future[Found], Batch] = {}

    def fill() -> None:
        while todo.batches and len(waiting) < 2 * count:
            batch = todo.batches.popleft()
            waiting[pool.submit(_work, function, batch, folder)] = batch

    with worker_pool(count) as pool:
        with inherited(1):  # the processes are started here
            fill()
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            broken = [future for future in done if isinstance(future.exception(), BrokenProcessPool)]
            for future in done.difference(broken):
                yield future.result()
                del waiting[future]
            if broken:
                todo.lost(waiting.values())
                return
            fill()


def _on_cluster(address: str, function: ImageFunction[Any], todo: _Todo, count: int, folder: Path) -> Iterator[Found]:
    with connected(address) as ray:
        processors = int(ray.cluster_resources().get("CPU", count))
        remote = ray.remote(
            num_cpus=1, max_retries=0, scheduling_strategy="SPREAD", runtime_env={"env_vars": environment(1)}
        )(_work)
        waiting: dict[Any, Batch] = {}
        lost: list[Batch] = []
        while (todo.batches and not lost) or waiting:
            while todo.batches and not lost and len(waiting) < 2 * processors:
                batch = todo.batches.popleft()
                waiting[remote.remote(function, batch, folder)] = batch
            (reference,), _ = ray.wait(list(waiting), num_returns=1)
            batch = waiting.pop(reference)
            try:
                found = ray.get(reference)
            except ray.exceptions.RayTaskError:
                raise
            except ray.exceptions.RayError:  # the process or its node has ended
                lost.append(batch)
            else:
                yield found
        if lost:
            todo.lost(lost)


_opened: tuple[ImageFunction[Any], Callable[[Batch], Iterable[tuple[str, Any]]]] | None = None


def _work(function: ImageFunction[Any], batch: Batch, folder: Path) -> Found:
    """One batch, in the process that does it."""
    global _opened
    if _opened is None or _opened[0] != function:
        journal = ReadingJournal(folder, _JOURNALS.replace("*", f"{socket.gethostname()}-{os.getpid()}"))
        _opened = function, function.open(journal)
    return list(_opened[1](batch))
