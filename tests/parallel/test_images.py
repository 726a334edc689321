"""A function over the images of a pool; tests/embedding/test_workers.py does it with real processes that die."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel import images
from xssr_strategy.parallel.images import EndsProcess, Workers, map_images


@dataclass(frozen=True)
class Sizes:
    """Bytes of each file."""

    def open(self) -> Callable[[Mapping[str, Path]], Iterator[tuple[str, int | UnreadableImage]]]:
        return lambda files: ((image, path.stat().st_size) for image, path in files.items())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {f"i{number:02}": tmp_path / f"i{number:02}.png" for number in range(40)}
    for number, path in enumerate(found.values()):
        path.write_bytes(bytes(number))
    return found


class Processes:
    """In the place of real ones: they end with some images, or at some of the runs."""

    def __init__(self, deadly: set[str], ends: tuple[int, ...] = ()) -> None:
        self.deadly, self.ends, self.runs = deadly, ends, 0

    def run(
        self, function: Sizes, batches: deque[Any], count: int, at_once: int | None
    ) -> Generator[Any, None, list[Any]]:
        self.runs += 1
        at_once = at_once or 2 * count
        while batches:
            begun = [batches.popleft() for _ in range(min(at_once, len(batches)))]
            if self.runs in self.ends or any(self.deadly & batch.keys() for batch in begun):
                return begun
            for batch in begun:
                yield images._work(function, batch)
        return []


def found_by(processes: Processes, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(images, "_on_this_machine", processes.run)
    pairs = [pair for batch in map_images(Sizes(), files, Workers(2), 8) for pair in batch]
    assert len(pairs) == len(files)  # each once
    return dict(pairs)


@pytest.mark.parametrize("deadly", [set(), {"i03"}, {"i00", "i01", "i39"}, {"i08", "i09", "i10", "i11"}])
def test_images_that_end_processes_cost_themselves(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, deadly: set[str]
) -> None:
    found = found_by(Processes(deadly), files, monkeypatch)
    assert {image for image, one in found.items() if isinstance(one, EndsProcess)} == deadly
    assert all(found[f"i{number:02}"] == number for number in range(40) if f"i{number:02}" not in deadly)
    for image in deadly:
        assert str(found[image]) == f"{files[image]}: ends the process that reads or embeds it; " + (
            "export it again or remove it from the folder"
        )


@pytest.mark.parametrize("ends", [(1,), (1, 2), (1, 2, 3), (2, 3)])
def test_processes_that_others_end_cost_no_image(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, ends: tuple[int, ...]
) -> None:
    found = found_by(Processes(set(), ends), files, monkeypatch)
    assert found == {f"i{number:02}": number for number in range(40)}


def test_where_no_process_lives_nothing_is_blamed(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_on_this_machine", Processes(set(files)).run)
    told = []
    with pytest.raises(UserError, match="the processes are ended whatever image they read, perhaps for want of memory"):
        told.extend(pair for batch in map_images(Sizes(), files, Workers(2), 8) for pair in batch)
    assert told == []


def test_a_function_that_cannot_be_had_ends_the_run(files: dict[str, Path]) -> None:
    @dataclass(frozen=True)
    class Never(Sizes):
        def open(self) -> Any:
            raise UserError("the encoder has other weights.")

    with pytest.raises(UserError, match="the encoder has other weights"):
        images._work(Never(), files)


class _Ended(Exception):  # noqa: N818 - as Ray's
    """A process or a node has ended."""


class _Ray:
    """As much of Ray as the engine asks for: a task with a deadly image ends its process."""

    exceptions = SimpleNamespace(RayTaskError=type("RayTaskError", (_Ended,), {}), RayError=_Ended)

    def __init__(self, deadly: str) -> None:
        self._deadly = deadly
        self.most = 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **_: object) -> Callable[[Any], Any]:
        return lambda work: SimpleNamespace(remote=lambda function, batch: (work, function, tuple(batch.items())))

    def wait(self, references: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(references))
        return references[-num_returns:], references[:-num_returns]

    def get(self, reference: Any) -> Any:
        work, function, items = reference
        if self._deadly in dict(items):
            raise _Ended
        return work(function, dict(items))


def test_a_process_of_a_cluster_that_ends_costs_the_image_by_which_it_does(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = _Ray("i03")
    monkeypatch.setattr(images, "connected", lambda address: nullcontext(ray))
    pairs = [pair for batch in map_images(Sizes(), files, Workers(address="auto"), 4) for pair in batch]
    found = dict(pairs)
    assert len(pairs) == len(files)
    assert isinstance(found.pop("i03"), EndsProcess)
    assert found == {f"i{number:02}": number for number in range(40) if number != 3}
    assert ray.most == 4
