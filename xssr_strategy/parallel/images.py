"""A function over the images of a pool, in processes of this machine or on the nodes of a Ray cluster.

Where a process ends, what it and the others were doing is done again by one process, and an image by which that ends,
twice, costs itself.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from xssr_strategy.errors import UserError
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel.cluster import connected
from xssr_strategy.parallel.processes import environment, inherited, worker_pool

_ENDS = 2  # ends of a process with one image alone, after which the image is to blame (our choice)
_BLAMED = 5  # images to blame, without another one done in between, after which they are not (our choice)
_REASON = "ends the process that reads or embeds it; export it again or remove it from the folder"

T = TypeVar("T", covariant=True)


class EndsProcess(UnreadableImage):
    """An image by which a process ends; nobody else should try."""


Batch = Mapping[str, Path]
Found = list[tuple[str, Any]]


class ImageFunction(Protocol[T]):
    """What is computed of images. It is sent to other processes, and equal ones do the same."""

    def open(self) -> Callable[[Batch], Iterable[tuple[str, T | UnreadableImage]]]:
        """The function itself, which a process asks for once: image -> path, to pairs of image and result.

        Raises:
            UserError: it cannot be had.
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
    function: ImageFunction[T], images: Mapping[str, Path], workers: Workers, batch: int
) -> Iterator[list[tuple[str, T | UnreadableImage]]]:
    """Yield what is found of each batch of images, in the order in which batches end.

    Args:
        function: what is computed.
        images: id -> path.
        workers: who does it.
        batch: images of a batch.

    Raises:
        UserError: the function cannot be had, processes are ended again and again, or the cluster cannot be used.
    """
    items = [(image, path.absolute()) for image, path in images.items()]
    batches: deque[Batch] = deque(dict(items[start : start + batch]) for start in range(0, len(items), batch))
    if not batches:
        return
    with _processes(workers) as run:
        while batches:
            lost = yield from run(function, batches, workers.count, None)
            if lost:
                yield from _one_by_one(run, function, lost)


class _Run(Protocol):
    """Do batches until all are done, or a process ends; those that were begun and not done are returned."""

    def __call__(
        self, function: ImageFunction[Any], batches: deque[Batch], count: int, at_once: int | None
    ) -> Generator[Found, None, list[Batch]]:
        """The batches that are begun are taken from ``batches``.

        Args:
            function: what is computed.
            batches: those to do.
            count: processes of this machine.
            at_once: batches that are begun at most; by default twice as many as there are processes.
        """


@contextmanager
def _processes(workers: Workers) -> Iterator[_Run]:
    if workers.address is None:
        yield _on_this_machine
    else:
        with connected(workers.address) as ray:
            yield partial(_on_cluster, ray)


def _one_by_one(run: _Run, function: ImageFunction[Any], lost: Iterable[Batch]) -> Iterator[Found]:
    """Do batches in one process, and find the images by which it ends."""
    batches, ends = deque(lost), Counter[str]()
    blamed: Found = []
    while batches:
        before = len(batches)
        ended = yield from run(function, batches, 1, 1)
        if before > len(batches) + len(ended):
            yield blamed
            blamed = []
        for batch in ended:
            halves = _halves(batch)
            if len(halves) == 1:
                ((image, path),) = batch.items()
                ends[image] += 1
                if ends[image] == _ENDS:
                    blamed.append((image, EndsProcess(f"{path}: {_REASON}")))
                    halves = []
            batches.extendleft(reversed(halves))
        if len(blamed) == _BLAMED:
            raise UserError(
                "the processes are ended whatever image they read, perhaps for want of memory; "
                "run again with fewer --workers: what is finished is kept."
            )
    yield blamed


def _halves(batch: Batch) -> list[Batch]:
    items = list(batch.items())
    return [dict(half) for half in (items[: len(items) // 2], items[len(items) // 2 :]) if half]


def _on_this_machine(
    function: ImageFunction[Any], batches: deque[Batch], count: int, at_once: int | None
) -> Generator[Found, None, list[Batch]]:
    waiting: dict[Future[Found], Batch] = {}
    most = at_once or 2 * count

    def fill() -> None:
        while batches and len(waiting) < most:
            waiting[pool.submit(_work, function, batches[0])] = batches[0]
            batches.popleft()

    with worker_pool(count) as pool:
        try:
            with inherited(1):  # the processes are started here
                fill()
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    found = future.result()
                    del waiting[future]
                    yield found
                fill()
        except BrokenProcessPool:
            for future in [one for one in waiting if one.done() and one.exception() is None]:
                yield future.result()
                del waiting[future]
            return list(waiting.values()) or [batches.popleft()]
    return []


def _on_cluster(
    ray: Any, function: ImageFunction[Any], batches: deque[Batch], count: int, at_once: int | None
) -> Generator[Found, None, list[Batch]]:
    remote = ray.remote(
        num_cpus=1, max_retries=0, scheduling_strategy="SPREAD", runtime_env={"env_vars": environment(1)}
    )(_work)
    waiting: dict[Any, Batch] = {}
    lost: list[Batch] = []
    while (batches and not lost) or waiting:
        most = at_once or 2 * max(count, int(ray.cluster_resources().get("CPU", 0)))  # nodes come and go
        while batches and not lost and len(waiting) < most:
            batch = batches.popleft()
            waiting[remote.remote(function, batch)] = batch
        (reference,), _ = ray.wait(list(waiting), num_returns=1)
        batch = waiting.pop(reference)
        try:
            found = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, UserError) else error from None
        except ray.exceptions.RayError:  # the process or its node has ended
            lost.append(batch)
        else:
            yield found
    return lost


_opened: tuple[ImageFunction[Any], Callable[[Batch], Iterable[tuple[str, Any]]]] | None = None


def _work(function: ImageFunction[Any], batch: Batch) -> Found:
    """One batch, in the process that does it."""
    global _opened
    if _opened is None or _opened[0] != function:
        _opened = function, function.open()
    return list(_opened[1](batch))
