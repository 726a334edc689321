"""What holds for all tests. It lies here rather than at the root, so that examples in the package run without it."""

from __future__ import annotations

from pathlib import Path

import pytest

WHOLE = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in ``e2e`` is marked so, whether or not its file says it: ``make test`` must start no server.

    Files with slow tests come first, then those of servers: at the end, many short ones keep all workers busy.
    """
    for item in items:
        if WHOLE in item.path.parents and item.get_closest_marker("e2e") is None:
            item.add_marker(pytest.mark.e2e)
    first = [{item.path for item in items if item.get_closest_marker(name)} for name in ("slow", "e2e")]
    items.sort(key=lambda item: [item.path not in files for files in first])
