from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import audit

ROOT = Path(audit.__file__).parents[1]
FOUND = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1"], "description": "bad"}
REPORT = {
    "dependencies": [
        {"name": "good", "version": "1.0", "vulns": []},
        {"name": "bad", "version": "2.0", "vulns": [FOUND]},
        {"name": "own", "skip_reason": "not found"},
    ]
}
UNREACHED = {"dependencies": [{"name": "good", "skip_reason": "not found"}]}


def test_a_finding_fails_unless_it_is_allowed_by_any_of_its_names() -> None:
    found = audit.judged(REPORT, {})
    assert (found.audited, found.unknown, found.allowed) == (2, ("own",), ())
    assert found.findings == ("bad 2.0: PYSEC-1, mended in 2.1",)
    for name in ("PYSEC-1", "CVE-1"):
        allowed = audit.judged(REPORT, {name: "it is not called"})
        assert allowed.findings == ()
        assert allowed.allowed == ("bad 2.0: PYSEC-1, mended in 2.1; allowed: it is not called",)


@pytest.mark.parametrize(
    ("answer", "status", "line"),
    [
        (json.dumps(REPORT), 1, "2 packages, 1 known vulnerabilities that are not allowed."),
        (json.dumps({"dependencies": REPORT["dependencies"][:1]}), 0, "1 packages, 0 known"),
        (json.dumps(UNREACHED), 0, "cannot be reached from here; nothing was audited."),
        ("", 0, "cannot be reached from here; nothing was audited."),
    ],
)
def test_the_program(monkeypatch, capsys, answer: str, status: int, line: str) -> None:
    def run(*command: Any, **more: Any) -> SimpleNamespace:
        return SimpleNamespace(stdout=answer, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    assert audit.main() == status
    assert line in capsys.readouterr().out


def test_every_dependency_has_both_bounds_and_both_are_tested() -> None:
    upper, lower = (_pins(ROOT / name) for name in ("constraints.txt", "constraints-lowest.txt"))
    for line, name, least, below in _dependencies():
        assert least <= upper[name] < below, f"{line}: constraints.txt has another version"
        if name in lower:
            assert _same(lower[name], least), f"{line}: constraints-lowest.txt has another version"


def test_what_the_next_environment_changes_is_a_dependency_within_its_bounds() -> None:
    """The server alone has to stay with pydicom 2."""
    pinned, upper = _pins(ROOT / "constraints-next.txt"), _pins(ROOT / "constraints.txt")
    for changed in ("pydicom", "highdicom", "dicomweb-client"):
        end = max(below for _, name, _, below in _dependencies() if name == changed)
        assert upper[changed] < pinned[changed] < end, f"{changed}: setup.cfg excludes that of constraints-next.txt"


def _dependencies() -> Iterator[tuple[str, str, tuple[int, ...], tuple[int, ...]]]:
    """Line, name, least version and the version below which it must be of each in setup.cfg."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    for line in "\n".join(listed).splitlines():
        if line and not line.startswith("#"):
            needed = line.partition(";")[0]  # without the versions of Python that it is for
            match = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)(?:,!=[\d.]+)*,<([\d.]+)", needed)
            assert match, f"{line}: give it a lower and an upper bound"
            yield line, match[1].lower(), _numbers(match[2]), _numbers(match[3])


def _pins(path: Path) -> dict[str, tuple[int, ...]]:
    pairs = (line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {name.lower().replace("_", "-"): _numbers(version) for name, version in pairs}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.match(r"[\d.]*\d", version)[0].split("."))  # type: ignore[index]


def _same(version: tuple[int, ...], bound: tuple[int, ...]) -> bool:
    """1.6.0 for 1.6, but also the first release of a series that begins later, as 1.5.6 for 1.5."""
    return version[: len(bound)] == bound
