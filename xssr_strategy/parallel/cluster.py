"""A Ray cluster, asked with patience."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from xssr_strategy.errors import UserError

_PATIENCE = 20  # seconds in which a Ray cluster has to answer, our choice

_ASK = """
import sys, ray
try:
    ray.init(sys.argv[1], log_to_driver=False)
except Exception as error:
    sys.exit(" ".join(str(error).split()))
"""


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster while the block runs.

    Args:
        address: of the cluster, as ``ray.init`` takes it; ``auto`` for that of ``RAY_ADDRESS`` or of this machine.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--ray: Ray is not installed; install it with: pip install 'xssr-strategy[ray]'") from None
    _ask(address)
    ray.init(address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()


def _ask(address: str) -> None:
    """Ray goes on trying for minutes where nobody answers: a process that can be ended asks first.

    Raises:
        UserError: no cluster that can be used.
    """
    try:
        subprocess.run(
            [sys.executable, "-c", _ASK, address], check=True, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        reason = f"no cluster answers within {_PATIENCE} seconds"
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["it cannot be asked"])[-1]
    else:
        return
    raise UserError(f"--ray {address}: {reason.rstrip('.')}; start one with: ray start --head") from None
