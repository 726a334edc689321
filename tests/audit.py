"""``python -m tests.audit``: known vulnerabilities in the versions of ``constraints.txt``, by pip-audit.

Status 1 if there is one that :data:`ALLOWED` does not name; where the data cannot be reached, one line and status 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

ALLOWED: Mapping[str, str] = {}
"""Id of a vulnerability -> why this software may be installed with it."""

_PATIENCE = 300  # seconds for the whole question (our choice)


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        audited: how many packages there are data of.
        unknown: names of the others.
        findings: one line for each vulnerability that is not allowed.
        allowed: one line for each that is.
    """

    audited: int
    unknown: tuple[str, ...]
    findings: tuple[str, ...]
    allowed: tuple[str, ...]


def judged(report: Mapping[str, Any], allowed: Mapping[str, str] = ALLOWED) -> Audit:
    """pip-audit's JSON; a package that it knows nothing of it skips, be it that it could ask nobody."""
    unknown = tuple(one["name"] for one in report["dependencies"] if "skip_reason" in one)
    told: dict[bool, list[str]] = {True: [], False: []}
    for package in report["dependencies"]:
        for found in package.get("vulns", ()):
            reasons = [allowed[name] for name in (found["id"], *found["aliases"]) if name in allowed]
            mended = ", ".join(found["fix_versions"]) or "no version"
            line = f"{package['name']} {package['version']}: {found['id']}, mended in {mended}"
            told[bool(reasons)].append(f"{line}; allowed: {reasons[0]}" if reasons else line)
    return Audit(len(report["dependencies"]) - len(unknown), unknown, tuple(told[False]), tuple(told[True]))


def main() -> int:
    """Ask, and print what was found."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(CONSTRAINTS), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=_PATIENCE)
        if "No module named" in done.stderr:
            print("pip-audit is not installed here: make venv.")
            return 1
        audit = judged(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, json.JSONDecodeError):  # pip-audit writes no JSON when it cannot ask
        audit = Audit(0, (), (), ())
    if not audit.audited:
        print("pip-audit: the data on vulnerabilities cannot be reached from here; nothing was audited.")
        return 0
    for line in (*audit.allowed, *audit.findings):
        print(f"pip-audit: {line}")
    if audit.unknown:
        print(f"pip-audit: no data of {', '.join(audit.unknown)}.")
    print(f"pip-audit: {audit.audited} packages, {len(audit.findings)} known vulnerabilities that are not allowed.")
    return int(bool(audit.findings))


if __name__ == "__main__":
    sys.exit(main())
