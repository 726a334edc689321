"""Where a training runs changes nothing about what it finds; a process or node that dies costs its own work alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.hospitals import TEST, experiment, hospital, planned, rows, simulate
from tests.support.phantoms import write_png
from tests.support.ray_cluster import two_nodes
from xssr_strategy.errors import TooLargeError, UserError
from xssr_strategy.parallel.processes import inherited
from xssr_strategy.simulation import engines
from xssr_strategy.simulation.engines import Finished, attempt, run_locally, run_on_ray
from xssr_strategy.simulation.experiment import workspace_of
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.simulate import plan
from xssr_strategy.simulation.work import Outcome, Training

NOBODY = "127.0.0.1:1"  # where no cluster listens


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hospital(tmp_path_factory.mktemp("hospitals") / "new", seed=2, test=TEST, count=8)


@pytest.fixture(scope="module")
def trainings(target: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Training]:
    """Four that can be run, and between them one with a label of another shape."""
    out = tmp_path_factory.mktemp("planned")
    what = experiment(target, strategies=("random",), seeds=2, draws=2)
    one, *others = (
        planned.training for planned in plan(what, out, workspace_of(out), "xssr simulate", lambda *_: None).jobs
    )
    small = {**one.pairs[0], "label": str(write_png(out / "small.png", np.eye(9, dtype=np.uint8)))}
    return [one, replace(one, digest="small", pairs=(small, *one.pairs[1:])), *others]


@pytest.fixture(scope="module")
def expected(trainings: list[Training]) -> dict[str, str]:
    """What this process finds."""
    return found((training, attempt(training)) for training in trainings)


def found(finished: Iterable[Finished]) -> dict[str, str]:
    """Digest -> what a training found, but for the seconds; as text, in which NaN equals NaN."""
    return {
        training.digest: repr(replace(outcome, seconds=0.0) if isinstance(outcome, Outcome) else outcome)
        for training, outcome in finished
    }


def test_ctrl_c_that_arrives_in_another_thread_waits_until_the_processes_are_started() -> None:
    release = threading.Event()
    other = threading.Thread(target=release.wait)
    other.start()
    reached = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background is deaf to it

    def interrupted_while_it_starts() -> None:
        with inherited(1):
            assert other.ident is not None
            signal.pthread_kill(other.ident, signal.SIGINT)
            time.sleep(0.2)
            reached.append("the end")

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_while_it_starts()
    finally:
        after = signal.signal(signal.SIGINT, before)
        release.set()
        other.join()
    assert reached == ["the end"]
    assert after is signal.default_int_handler


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), MemoryError(), TooLargeError("a step")],
)
def test_too_little_memory_is_a_reason(
    trainings: list[Training], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def too_large(_: Training) -> Outcome:
        raise error

    monkeypatch.setattr(engines, "run_training", too_large)
    remedy = "run again with a smaller --size, a larger --spacing or fewer --jobs."
    assert attempt(trainings[0]) == f"memory does not suffice; {remedy}"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_find_what_this_process_finds(
    trainings: list[Training], expected: dict[str, str], jobs: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finished = run_locally(trainings, jobs)
    first = next(finished)
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches all; it is for this process to decide
    assert found([first, *finished]) == expected
    assert "small.png: the label is 9 x 9 but its image is" in expected["small"]
    assert (dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before
    assert capfd.readouterr() == ("", ""), "processes are quiet"
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_what_a_process_warns_of_is_kept_with_its_result_and_reported(tmp_path: Path) -> None:
    folder, out = hospital(tmp_path / "new", seed=2, test=TEST, count=8), tmp_path / "out"
    methods = ("supervised", "fixmatch")
    what = experiment(folder, strategies=("random",), seeds=2, draws=1, methods=methods, steps=12)
    jobs = [one for one in planned(what, out).jobs if one.job.method == "fixmatch"]
    spoilt = next(iter(jobs[0].training.unlabelled.values()))
    assert all(spoilt in one.training.unlabelled.values() for one in jobs)

    def engine(trainings: Sequence[Training]) -> Iterator[Finished]:
        spoilt.write_bytes(b"no picture")
        yield from run_locally(trainings, jobs=1)

    assert simulate(what, out, engine) == {}  # type: ignore[arg-type]
    found = {one.job.name: one.remarks for one in rows(out)}
    (said,) = found.pop("random-3-d0-s0-fixmatch")
    assert said.startswith(f"not learnt from: {spoilt}: ")
    assert found.pop("random-3-d0-s1-fixmatch") == (said,)
    assert set(found.values()) == {()}
    page = write_report(out).read_text(encoding="utf-8")
    assert f'<td>2</td><td class="text">random-3-d0-s0-fixmatch</td><td class="text">{said}</td>' in page


@pytest.mark.slow
def test_a_process_that_is_killed_costs_no_finished_training(target: Path, tmp_path: Path) -> None:
    before = dict(os.environ)

    def engine(trainings: Sequence[Training]) -> Iterator[Finished]:
        for finished in run_locally(trainings, jobs=1):
            yield finished
            for child in multiprocessing.active_children():
                child.kill()

    what = experiment(target, strategies=("random", "full"), seeds=1, draws=1, full_steps=1_000_000)
    with pytest.raises(UserError, match=r"ended from outside.*run again with fewer --jobs: what is finished is kept"):
        simulate(what, tmp_path, engine)  # type: ignore[arg-type]
    assert [one.job.strategy for one in rows(tmp_path)] == ["random"]
    assert dict(os.environ) == before


@pytest.mark.slow
def test_processes_end_when_their_caller_fails(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xssr_strategy.simulation.simulate.write_result", full_disk)
    what = experiment(target, strategies=("random", "full"), seeds=1, draws=1, full_steps=1_000_000)
    with pytest.raises(OSError, match="No space"):
        simulate(what, tmp_path, lambda trainings: run_locally(trainings, jobs=1))  # type: ignore[arg-type]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_without_ray_and_without_a_cluster_one_sentence_says_so(
    trainings: list[Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xssr_strategy.parallel.cluster._PATIENCE", 5)
    for address, message in (
        (NOBODY, f"--ray {NOBODY}: no cluster answers within 5 seconds; start one with: ray start --head"),
        ("nonsense", "--ray nonsense: Invalid address format: nonsense; start one with: ray start --head"),
    ):
        with pytest.raises(UserError) as caught:
            next(run_on_ray(trainings, address))
        assert str(caught.value) == message
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed; install it with: pip install 'xssr-strategy\[ray\]'"):
        next(run_on_ray(trainings, "auto"))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with two_nodes(monkeypatch) as cluster:
        yield cluster


def noting_nodes(places: Path, stuck: str = "") -> Callable[[Training], Outcome | str]:
    """``attempt`` that notes at which node it is, and gets no further on the node ``stuck``."""

    def noting(training: Training) -> Outcome | str:
        import ray

        node = ray.get_runtime_context().get_node_id()
        (places / f"{node} {training.digest}").touch()
        if node == stuck:
            time.sleep(600)
        return attempt(training)

    return noting


@pytest.mark.slow
def test_the_nodes_of_a_cluster_find_what_this_process_finds_and_one_of_them_may_die(
    trainings: list[Training],
    expected: dict[str, str],
    cluster: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "attempt", noting_nodes(tmp_path))
    assert found(run_on_ray(trainings, cluster.address)) == expected
    assert {path.name.split()[0] for path in tmp_path.iterdir()} == {node.node_id for node in cluster.list_all_nodes()}

    with pytest.raises(UserError, match="--threads 2: no node of the cluster has so many; ask for 1 or fewer"):
        next(run_on_ray([replace(trainings[0], threads=2)], cluster.address))

    (doomed,) = cluster.worker_nodes
    places = tmp_path / "again"
    places.mkdir()
    monkeypatch.setattr(engines, "attempt", noting_nodes(places, stuck=doomed.node_id))
    finished = run_on_ray(trainings, cluster.address)
    first = next(finished)
    lost = wait_for(lambda: [path for path in places.iterdir() if path.name.startswith(doomed.node_id)])
    cluster.remove_node(doomed, allow_graceful=False)
    assert found([first, *finished]) == expected
    assert len(lost) == 1


def wait_for(what: Callable[[], list[Path]], seconds: float = 300.0) -> list[Path]:
    deadline = time.monotonic() + seconds
    while not (there := what()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
    return there
