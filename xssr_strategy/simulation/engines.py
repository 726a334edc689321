"""What runs the trainings: processes of this machine, or the nodes of a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from xssr_strategy.errors import TooLargeError, UserError, memory_error
from xssr_strategy.parallel.cluster import connected
from xssr_strategy.parallel.processes import environment, inherited, worker_pool
from xssr_strategy.simulation.work import Outcome, Training, run_training

Finished = tuple[Training, Outcome | str]
"""A training and what it found, or the reason why it could not be run."""


def run_locally(trainings: Sequence[Training], jobs: int) -> Generator[Finished, None, None]:
    """Run trainings side by side in processes of their own; yield each when it is finished.

    Args:
        trainings: in the order of their start.
        jobs: processes.

    Raises:
        UserError: a process was killed; what the others had finished was yielded before.
    """
    if not trainings:
        return
    killed = False
    with worker_pool(min(jobs, len(trainings))) as pool:
        with inherited(trainings[0].threads):  # the processes are started here
            futures = {pool.submit(attempt, training): training for training in trainings}
        for future in as_completed(futures):
            if isinstance(future.exception(), BrokenProcessPool):
                killed = True
            else:
                yield futures[future], future.result()
    if killed:
        raise UserError(
            "a training's process was ended from outside, perhaps for want of memory; "
            "run again with fewer --jobs: what is finished is kept."
        )


def run_on_ray(trainings: Sequence[Training], address: str) -> Generator[Finished, None, None]:
    """Run trainings on a Ray cluster, whose nodes see the images under the same paths.

    Args:
        trainings: in the order of their start.
        address: of the cluster, as ``ray.init`` takes it; ``auto`` for that of ``RAY_ADDRESS`` or of this machine.

    Raises:
        UserError: Ray is not installed, no such cluster, no node with the threads, or a node that was lost too often.
    """
    if trainings:
        with connected(address) as ray:
            yield from _on_cluster(ray, trainings)


_TOO_LARGE = "memory does not suffice; run again with a smaller --size, a larger --spacing or fewer --jobs."


def attempt(training: Training) -> Outcome | str:
    """Run a training; the reason, if an image or label of it cannot be used or memory does not suffice."""
    try:
        return run_training(training)
    except UserError as error:
        return _TOO_LARGE if isinstance(error, TooLargeError) else str(error)
    except (MemoryError, RuntimeError) as error:
        if memory_error(error) is None:
            raise
        return _TOO_LARGE


def _on_cluster(ray: Any, trainings: Sequence[Training]) -> Generator[Finished, None, None]:
    threads = trainings[0].threads
    largest = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    if 0 < largest < threads:  # it would wait for ever; none at all is a cluster that starts nodes as they are needed
        raise UserError(f"--threads {threads}: no node of the cluster has so many; ask for {largest} or fewer.")
    # A node that dies takes its trainings along; they are started again elsewhere.
    remote = ray.remote(
        num_cpus=threads,
        num_gpus=1 if "GPU" in ray.cluster_resources() else 0,
        max_retries=3,
        scheduling_strategy="SPREAD",
        runtime_env={"env_vars": environment(threads)},
    )(attempt)
    waiting = {remote.remote(training): training for training in trainings}
    while waiting:
        (reference,), _ = ray.wait(list(waiting), num_returns=1)
        training = waiting.pop(reference)
        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            raise UserError(
                f"--ray: a training was lost with its node ({type(error).__name__}); "
                "look after the cluster and run again: what is finished is kept."
            ) from None
        yield training, outcome
