"""An image that ends the process is found by the next one, and set aside; an ordinary kill costs no image."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.odd_dicom import rle_without_segments
from tests.support.poison import poisoned_environment
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.images import journal as module
from xssr_strategy.images.journal import ReadingJournal, trial
from xssr_strategy.images.reading import UnreadableImage


def write(path: Path, seed: int = 0) -> Path:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 40)).astype(np.uint8)).save(path)
    return path


def dies_while_reading(workspace: Path, *paths: Path) -> None:
    """Leave the journal as a process that dies in the middle of these images leaves it."""
    left = b""

    def read(path: Path) -> None:
        nonlocal left
        inner = paths[paths.index(path) + 1 :]
        if inner:
            journal.guarded(read)(inner[0])
        else:
            left = (workspace / "reading.json").read_bytes()

    with ReadingJournal(workspace) as journal:
        journal.guarded(read)(paths[0])
    (workspace / "reading.json").write_bytes(left)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that were tried, in vain if ``bad`` is in the name."""
    paths: list[Path] = []

    def remember(path: Path) -> str | None:
        paths.append(path)
        return "reading it ends the process (SIGSEGV); export it again" if "bad" in path.name else None

    monkeypatch.setattr(module, "trial", remember)
    return paths


def test_a_process_that_ends_well_leaves_nothing_to_try(tmp_path: Path, tried: list[Path]) -> None:
    for _ in range(2):
        with ReadingJournal(tmp_path) as journal:
            assert journal.guarded(lambda path: path.name)(write(tmp_path / "a.png")) == "a.png"
            with pytest.raises(UnreadableImage):
                journal.guarded(raising)(tmp_path / "b.png")
    assert tried == []


def raising(path: Path) -> None:
    raise UnreadableImage(f"{path}: broken; repair it")


def test_what_was_being_read_at_a_kill_is_tried_once_and_then_read(tmp_path: Path, tried: list[Path]) -> None:
    one, other = write(tmp_path / "a.png"), write(tmp_path / "b.png")
    dies_while_reading(tmp_path, one, other)
    with ReadingJournal(tmp_path) as journal:
        read = journal.guarded(lambda path: path.name)
        assert [read(path) for path in (one, other, one)] == ["a.png", "b.png", "a.png"]
    assert tried == [one, other]


def test_what_ends_the_trial_is_set_aside_until_it_changes(tmp_path: Path, tried: list[Path]) -> None:
    bad = write(tmp_path / "bad.png")
    dies_while_reading(tmp_path, bad)
    for _ in range(2):
        with ReadingJournal(tmp_path) as journal:
            with pytest.raises(UnreadableImage, match=r"bad\.png: reading it ends the process \(SIGSEGV\); export"):
                journal.guarded(lambda path: path.name)(bad)
            assert journal.guarded(lambda path: path.name)(write(tmp_path / "a.png")) == "a.png"
    assert tried == [bad]
    Image.new("L", (3, 3)).save(bad)
    with ReadingJournal(tmp_path) as journal:
        assert journal.guarded(lambda path: path.name)(bad) == "bad.png"


def test_a_suspect_that_nobody_came_to_stays_one(tmp_path: Path, tried: list[Path]) -> None:
    bad, gone, good = (write(tmp_path / name) for name in ("bad.png", "bad gone.png", "a.png"))
    dies_while_reading(tmp_path, bad, gone)
    gone.unlink()
    dies_while_reading(tmp_path, good)
    with ReadingJournal(tmp_path) as journal, pytest.raises(UnreadableImage):
        journal.guarded(lambda path: path.name)(bad)
    assert tried == [bad]


def test_five_ends_in_a_row_are_enough_whatever_the_trial_says(tmp_path: Path, tried: list[Path]) -> None:
    large = write(tmp_path / "large.png")
    for _ in range(5):
        dies_while_reading(tmp_path, large)
    assert len(tried) == 4
    with ReadingJournal(tmp_path) as journal, pytest.raises(UnreadableImage, match="at 5 ends of the process in a row"):
        journal.guarded(lambda path: path.name)(large)
    assert len(tried) == 4


@pytest.mark.parametrize("content", [b"", b"no JSON\n", b"[]\n", b'{"reading": 3}\n', b"\xff"])
def test_a_journal_that_cannot_be_read_is_a_new_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "reading.json").write_bytes(content)
    with ReadingJournal(tmp_path) as journal:
        assert journal.guarded(lambda path: path.name)(write(tmp_path / "a.png")) == "a.png"
    assert json.loads((tmp_path / "reading.json").read_bytes().partition(b"\n")[0]) == {"reading": {}, "refused": {}}


def test_threads_share_a_journal(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.png") for number in range(4)]
    together = threading.Barrier(len(paths))
    seen: list[set[str]] = []

    def read(path: Path) -> None:
        together.wait(300)
        seen.append(set(json.loads((tmp_path / "reading.json").read_bytes().partition(b"\n")[0])["reading"]))
        together.wait(300)

    with ReadingJournal(tmp_path) as journal:
        threads = [threading.Thread(target=journal.guarded(read), args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [{str(path) for path in paths}] * 4


@pytest.mark.slow
def test_the_trial_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in poisoned_environment(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "-broken.png").write_bytes(b"no picture")
    assert trial(tmp_path / "-broken.png") is None  # whoever reads it says so
    (tmp_path / "a.dcm").write_bytes(rle_without_segments())
    assert "ends the process (SIGFPE); " in str(trial(tmp_path / "a.dcm"))
    assert "takes longer than" in str(trial(write(tmp_path / "endless.png")))


@pytest.mark.slow
def test_select_dies_once_and_then_works_without_the_image(tmp_path: Path) -> None:
    studies, source = tmp_path / "studies", tmp_path / "source"
    for folder, seed in ((studies, 0), (source, 50)):
        folder.mkdir()
        for number in range(6):
            write(folder / f"{number}.png", seed + number)
    write(studies / "0 segfault.png")  # read first, when the preset is guessed
    write(source / "killed.png")
    options = ["--studies", str(studies), "--source", str(source), "--budget", "2", "--encoder-steps", "1"]
    options += ["--out", str(tmp_path / "picks.csv"), "--workspace", str(tmp_path / "workspace")]

    def select() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xssr_strategy.cli", "select", *options]
        environment = {**os.environ, **poisoned_environment(tmp_path / "site")}
        return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)

    assert select().returncode == -signal.SIGSEGV
    assert select().returncode == -signal.SIGKILL  # in the encoder's training
    done = select()
    assert done.returncode == 0, done.stderr
    assert "0 segfault.png: reading it ends the process (SIGSEGV); " in done.stdout
    store = EmbeddingStore(tmp_path / "workspace" / "embeddings.sqlite")
    assert "(SIGKILL)" in store.failures("source")["killed"][1]
    assert list(store.failures("target")) == ["0 segfault"]
