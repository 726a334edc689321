"""The house stays easy to read: short functions, short files, no loose modules at the package's root."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = [file for folder in ("xssr_strategy", "apps", "sample-apps") for file in sorted((ROOT / folder).rglob("*.py"))]
REST = [file for folder in ("tests", "benchmarks") for file in sorted((ROOT / folder).rglob("*.py"))]
LONGEST_FUNCTION, LONGEST_FILE = 60, 300


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_no_file_is_too_long() -> None:
    assert len(CODE) > 100
    assert {str(file.relative_to(ROOT)): lines(file) for file in [*CODE, *REST] if lines(file) > LONGEST_FILE} == {}


def test_no_function_is_too_long() -> None:
    found = {
        f"{file.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for file in CODE
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name: length for name, length in found.items() if length > LONGEST_FUNCTION} == {}


def test_the_app_is_wiring_only() -> None:
    assert lines(ROOT / "apps" / "xssr" / "main.py") < 150


@pytest.mark.parametrize("package", ["xssr_strategy"])
def test_no_module_stands_at_the_root_but_three(package: str) -> None:
    assert {file.stem for file in (ROOT / package).glob("*.py")} == {"__init__", "cli", "settings", "errors"}
