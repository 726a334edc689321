"""A function over the images of a pool; tests/embedding/test_workers.py does it with real processes that die."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.images.journal import ReadingJournal, names_being_read
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel import images
from xssr_strategy.parallel.images import Workers, map_images


@dataclass(frozen=True)
class Sizes:
    """Bytes of each file."""

    def open(
        self, journal: ReadingJournal
    ) -> Callable[[Mapping[str, Path]], Iterator[tuple[str, int | UnreadableImage]]]:
        read = journal.guarded(lambda path: path.stat().st_size)
        return lambda files: ((image, read(path)) for image, path in files.items())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {f"i{number}": tmp_path / f"i{number}.png" for number in range(9)}
    for number, path in enumerate(found.values()):
        path.write_bytes(bytes(number))
    return found


def test_the_work_of_a_process(files: dict[str, Path], tmp_path: Path) -> None:
    assert images._work(Sizes(), files, tmp_path / "ours") == [(f"i{number}", number) for number in range(9)]
    assert len(list((tmp_path / "ours").glob("reading-*.json"))) == 1
    assert names_being_read(tmp_path / "ours", "reading-*.json") == []


def test_processes_that_are_ended_again_and_again_end_the_run_with_a_sentence(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, done = [], []

    def ended(function: Sizes, todo: Any, count: int, folder: Path) -> Iterator[Any]:
        runs.append(count)
        if len(runs) == 4:  # a batch between two ends
            yield list(function.open(ReadingJournal(folder))(todo.batches.popleft()))
        todo.lost([todo.batches.popleft()])

    monkeypatch.setattr(images, "_on_this_machine", ended)
    with pytest.raises(UserError, match="the processes were ended from outside 5 times in a row, perhaps for want of"):
        done.extend(map_images(Sizes(), files, Workers(2), tmp_path / "ours", 2))
    assert runs == [2] * 8


def test_what_a_killed_head_left_is_tried_before_anything_is_read(
    files: dict[str, Path], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(
        "xssr_strategy.images.journal.trial", lambda path: "ends the process" if "i3" in str(path) else None
    )
    folder = tmp_path / "ours"
    folder.mkdir()
    names = ", ".join(f'"{files[image]}": 1' for image in ("i3", "i5"))
    (folder / "reading-host-7.json").write_text(
        f'{{"reading": {{{names}, "{tmp_path}/gone.png": 1}}, "refused": {{}}}}\n'
    )

    def here(function: Sizes, todo: Any, count: int, where: Path) -> Iterator[Any]:
        while todo.batches:
            yield images._work(function, todo.batches.popleft(), where)

    monkeypatch.setattr(images, "_on_this_machine", here)
    found = dict(pair for batch in map_images(Sizes(), files, Workers(2), folder, 4) for pair in batch)
    assert str(found.pop("i3")) == f"{files['i3']}: ends the process"
    assert found == {f"i{number}": number for number in range(9) if number != 3}
