"""A Ray cluster on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one processor each."""
    import ray
    from ray.cluster_utils import Cluster

    temporary = tempfile.mkdtemp(prefix="ray")  # pytest's own folder is too deep for a socket
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_TMPDIR", temporary)  # Cluster writes its address there even if it is given a temp_dir
    cluster = Cluster(True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)
