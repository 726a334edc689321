"""``python -m tests.untouched coverage.json``: names the modules of which the tests ran nothing but the definitions.

A module that is imported shows some coverage before any of its functions has run, so the share of its lines alone says
little. Status 1 if there is such a module.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def untouched(report: Mapping[str, Any]) -> list[str]:
    """Files of coverage.py's JSON report that nothing ran of, or that have functions none of which ran, sorted."""
    return sorted(file for file, told in report["files"].items() if not _ran(told))


def _ran(told: Mapping[str, Any]) -> bool:
    functions = [
        part["executed_lines"]
        for name, part in told["functions"].items()
        if name and part["summary"]["num_statements"]  # the lines outside functions have no name
    ]
    ran = functions or [told["executed_lines"]]
    return any(ran) or not told["summary"]["num_statements"]


def main(arguments: list[str]) -> int:
    """Read the report and print what it shows."""
    report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    found = untouched(report)
    for file in found:
        print(f"{file}: no test runs any of its functions; add one.")
    print(f"{len(report['files'])} modules, {len(found)} that no test touches.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
