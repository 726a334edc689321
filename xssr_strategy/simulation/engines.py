"""What runs the trainings: processes of this machine, or the nodes of a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from xssr_strategy.errors import UserError
from xssr_strategy.simulation.work import Outcome, Training, run_training

Finished = tuple[Training, Outcome | str]
"""A training and what it found, or the reason why it could not be run."""


def run_locally(trainings: Sequence[Training], jobs: int) -> Iterator[Finished]:
    """Run trainings side by side in processes of their own; yield each when it is finished.

    Args:
        trainings: in the order of their start.
        jobs: processes.
    """
    if not trainings:
        return
    with _threads(trainings[0].threads), _pool(min(jobs, len(trainings))) as pool:
        futures: dict[Future[Outcome | str], Training] = {
            pool.submit(attempt, training): training for training in trainings
        }
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                raise UserError(
                    "a training's process was ended from outside, perhaps for want of memory; "
                    "run again with fewer --jobs: what is finished is kept."
                ) from None


def run_on_ray(trainings: Sequence[Training], address: str | None) -> Iterator[Finished]:
    """Run trainings on a Ray cluster, whose nodes see the images under the same paths.

    Args:
        trainings: in the order of their start.
        address: of the cluster, as ``ray.init`` takes it; None for ``RAY_ADDRESS``, else a cluster of this machine.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--ray: Ray is not installed; install it with: pip install 'xssr-strategy[ray]'") from None
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--ray {address}: no cluster answers there ({error}); start one with: ray start --head"
        ) from None
    wanted = trainings[0].threads if trainings else 1
    gpus = 1 if ray.cluster_resources().keys() & {"GPU"} else 0
    # A node that dies takes its trainings along; they are started again elsewhere.
    remote: Any = ray.remote(
        num_cpus=wanted, num_gpus=gpus, max_retries=3, runtime_env={"env_vars": _environment(wanted)}
    )(attempt)
    waiting = {remote.remote(training): training for training in trainings}
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1)
        for reference in done:
            training = waiting.pop(reference)
            yield training, ray.get(reference)


def attempt(training: Training) -> Outcome | str:
    """Run a training; the reason, if an image or label of it cannot be used."""
    try:
        return run_training(training)
    except UserError as error:
        return str(error)


def _environment(threads: int) -> dict[str, str]:
    # The loader's thread has a count of its own, read from here.
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Processes started inside inherit the number of threads; it is read before torch is loaded."""
    before = {name: os.environ.get(name) for name in _environment(count)}
    os.environ.update(_environment(count))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end at once when the caller is interrupted, not after the work that waits."""
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BaseException:
        for process in list(pool._processes.values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
