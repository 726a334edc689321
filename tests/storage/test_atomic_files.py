from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import Timeout

from xssr_strategy.storage.atomic_files import (
    copy_atomic,
    locked_temporary_folder,
    remove_leftovers,
    remove_unlocked_folders,
    replacing,
    write_atomic,
)

SIZE = 200_000


def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.png"
    write_atomic(path, b"old")
    (tmp_path / "source").write_bytes(b"new")
    copy_atomic(tmp_path / "source", path)
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_what_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_atomic(path, b"old")
    with pytest.raises(FileNotFoundError):
        copy_atomic(tmp_path / "missing", path)
    with suppress(KeyboardInterrupt), replacing(path) as partial:
        partial.write_bytes(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_killed_writer_leaves_the_old_or_the_new_and_its_leftover_goes_in_time(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, bytes([1]) * SIZE)
    program = (
        "import sys, pathlib\nfrom xssr_strategy.storage.atomic_files import write_whole\n"
        "print('begun', flush=True)\nwhile True:\n"
        f"    for value in (1, 2):\n        write_whole(pathlib.Path(sys.argv[1]), bytes([value]) * {SIZE})"
    )
    for pause in (0.01, 0.05, 0.1, 0.02):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(pause)
            os.kill(writer.pid, signal.SIGKILL)
        content = path.read_bytes()
        assert content in (bytes([1]) * SIZE, bytes([2]) * SIZE)
    left = tmp_path / ".a.bin.1-1.partial"
    left.write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert left.exists()  # it may be written right now
    os.utime(left, (0, 0))
    remove_leftovers(tmp_path)
    assert not left.exists()
    assert path.exists()


def test_a_temporary_folder_is_gone_afterwards_and_what_a_killed_process_left_too(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from xssr_strategy.storage.atomic_files import locked_temporary_folder as held\n"
        "folder = Path(sys.argv[1])\n"
        "with held(folder):\n"
        "    folder.mkdir(); (folder / 'x').touch(); print('there', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "cache_1")], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"there\n"
    remove_unlocked_folders(tmp_path, "cache_*")
    assert (tmp_path / "cache_1" / "x").exists()  # its process runs
    with pytest.raises(Timeout), locked_temporary_folder(tmp_path / "cache_1", timeout=0):
        pass
    other.kill()
    other.wait()
    remove_unlocked_folders(tmp_path, "cache_*")
    with suppress(KeyError), locked_temporary_folder(tmp_path / "cache_2"):
        (tmp_path / "cache_2").mkdir()
        raise KeyError
    assert list(tmp_path.iterdir()) == []
