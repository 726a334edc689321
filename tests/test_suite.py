"""What the tests ask of themselves."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests import untouched

TESTS = Path(__file__).parent
BESIDE = {"chaos", "e2e", "support", "versions"}
"""Folders of tests of the whole, and of what tests share."""


def imported(code: str) -> set[str]:
    """Every module that the code imports from, and each name with its module, as both may be modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def modules_of_tests(code: str) -> list[str]:
    return sorted(name for name in imported(code) if name.startswith("tests.") and ".test_" in name)


def test_no_test_imports_from_a_module_of_tests() -> None:
    found = {
        str(file.relative_to(TESTS)): names
        for file in sorted(TESTS.rglob("*.py"))
        if (names := modules_of_tests(file.read_text(encoding="utf-8")))
    }
    assert not found, "what several tests share belongs in tests/support"


@pytest.mark.parametrize(
    "line",
    ["from tests.pool.test_leases import a", "from tests.pool import test_leases", "import tests.pool.test_leases"],
)
def test_an_import_from_a_module_of_tests_is_found(line: str) -> None:
    assert modules_of_tests(f"def inside() -> None:\n    {line}\n") != []
    assert modules_of_tests("from tests.support.pools import write\nfrom tests import audit\n") == []


def test_the_tree_mirrors_the_package() -> None:
    rooms = {init.parent.name for init in (TESTS.parent / "xssr_strategy").glob("*/__init__.py")}
    folders = {init.parent.name for init in TESTS.glob("*/__init__.py")}
    assert folders == rooms | BESIDE
    assert all(list((TESTS / room).glob("test_*.py")) for room in rooms)


def test_modules_of_which_nothing_ran_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def part(*ran: int, lines: int = 3) -> dict[str, object]:
        return {"executed_lines": list(ran), "summary": {"num_statements": lines}}

    files = {
        "a/run.py": {**part(1, 2), "functions": {"": part(1), "f": part(2), "g": part()}},
        "a/imported.py": {**part(1), "functions": {"": part(1), "f": part()}},
        "a/never.py": {**part(), "functions": {"": part()}},
        "a/names.py": {**part(1), "functions": {"": part(1)}},
        "a/protocol.py": {**part(1), "functions": {"": part(1), "f": part(lines=0)}},
        "a/__init__.py": {**part(lines=0), "functions": {"": part(lines=0)}},
    }
    (tmp_path / "coverage.json").write_text(json.dumps({"files": files}))
    assert untouched.main([str(tmp_path / "coverage.json")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "a/imported.py: no test runs any of its functions; add one.",
        "a/never.py: no test runs any of its functions; add one.",
        "6 modules, 2 that no test touches.",
    ]
    assert untouched.main([str(_without(tmp_path, files, "a/imported.py", "a/never.py"))]) == 0


def _without(folder: Path, files: dict[str, object], *names: str) -> Path:
    rest = {name: told for name, told in files.items() if name not in names}
    (folder / "rest.json").write_text(json.dumps({"files": rest}))
    return folder / "rest.json"
