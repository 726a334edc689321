"""Processes that train: they start alike, say nothing but their outcome, and end with the process that started them.

This file is read by a process before torch is, so it imports little.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


def environment(threads: int) -> dict[str, str]:
    """What a process of ``threads`` threads is started with; it is read before torch is loaded."""
    # The loader's thread has a count of its own, read from here.
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}


@contextmanager
def worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end at once when the caller is interrupted, not after the work that waits."""
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_prepare)
    try:
        yield pool
    except BaseException:
        for process in list(pool._processes.values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def inherited(threads: int) -> Iterator[None]:
    """Processes started inside inherit the environment and are deaf to Ctrl-C.

    A terminal sends Ctrl-C to all of them; who started them hears it, if need be when all are started, and ends them.
    Blocked in this thread, the signal may still arrive in another one: then it is noted, and raised in the end.
    """
    wanted = environment(threads)
    before = {name: os.environ.get(name) for name in wanted}
    noted = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda *_: noted.set()) if main else None
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if main:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        if noted.is_set():
            signal.raise_signal(signal.SIGINT)


def _prepare() -> None:
    """Run first in every process."""
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())  # without one, warnings would go to standard error
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, a process whose parent was killed trains on, and then waits for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
