"""Leases and skipped images: two annotators never get one image, whatever the threads, processes and restarts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.pool.leases import Leases


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    clock = Clock()
    leases = Leases(tmp_path / "leases.sqlite", 10, clock)
    assert leases.take("a", "ann")
    assert not leases.take("a", "bob")
    assert leases.take("b", "bob")
    clock.now += 599.0
    assert not leases.take("a", "bob")
    assert list(leases.out()) == ["a", "b"]
    clock.now += 1.0
    assert leases.out() == {}
    assert leases.take("a", "bob")
    assert leases.out()["a"].client == "bob"
    assert not leases.take("a", "ann")


def test_a_client_renews_its_own_lease_and_gives_it_back(tmp_path: Path) -> None:
    clock = Clock()
    leases = Leases(tmp_path / "leases.sqlite", 10, clock)
    assert leases.take("a", "ann") == 1600.0
    clock.now += 500.0
    assert leases.renew("a", "ann") == 2100.0
    clock.now += 500.0
    assert leases.out()["a"].ends == 2100.0
    assert leases.renew("a", "bob") is None
    leases.end(["a", "unknown"])
    assert leases.renew("a", "ann") is None
    assert leases.take("a", "bob") == 2600.0


def test_two_viewers_that_give_no_name_do_not_get_one_image(tmp_path: Path) -> None:
    one, other = (Leases(tmp_path / "leases.sqlite", 10) for _ in range(2))
    assert one.take("a", "")
    assert other.take("a", "") is None
    assert other.take("b", "")


def test_leases_and_skips_survive_a_restart(tmp_path: Path) -> None:
    first = Leases(tmp_path / "leases.sqlite", 10)
    first.take("a", "ann")
    first.take("b", "ann")
    first.skip("b", "ann", "motion")
    first.close()
    again = Leases(tmp_path / "leases.sqlite", 10)
    assert list(again.out()) == ["a"]
    assert again.skipped() == {"b": "motion"}
    assert not again.take("b", "bob")
    again.restore(["b"])
    assert again.skipped() == {}
    assert again.take("b", "bob")


def test_threads_and_processes_never_share_an_image(tmp_path: Path) -> None:
    path = tmp_path / "leases.sqlite"
    program = (
        "import sys; from pathlib import Path; from xssr_strategy.pool.leases import Leases;"
        "leases = Leases(Path(sys.argv[1]), 10);"
        "print(*(i for i in range(200) if leases.take(str(i), sys.argv[2])))"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program, str(path), f"process {k}"], stdout=subprocess.PIPE, text=True)
        for k in range(2)
    ]
    leases = Leases(path, 10)

    def takes(client: str) -> list[str]:
        return [str(i) for i in range(200) if leases.take(str(i), client)]

    with ThreadPoolExecutor(20) as threads:
        taken = list(threads.map(takes, (f"thread {k}" for k in range(20))))
    taken += [process.communicate()[0].split() for process in others]
    images = [image for part in taken for image in part]
    assert len(images) == len(set(images)) == 200


def test_a_file_that_is_none_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but a text that is long enough to be read as a header of one\n" * 9)
    with pytest.raises(UserError, match=r"text cannot be opened .* delete the file"):
        Leases(tmp_path / "text", 10)
    newer = tmp_path / "newer.sqlite"
    sqlite3.connect(newer).execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="another version"):
        Leases(newer, 10)
