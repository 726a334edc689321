"""CONTRIBUTING.md: its pages are followed to the letter, each in a copy of the repository."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(
    r"^( *)(?P<what>[^\n`]*`[^`\n]+`[^\n]*):\n\n\1```python\n(?P<code>.*?)\n\1```$", re.DOTALL | re.MULTILINE
)
_SHELL = re.compile(r"^( *)```sh\n(?P<lines>.*?)\n\1```$", re.DOTALL | re.MULTILINE)
_NEW = re.compile(r"New file `([^`]+)`")
_IMPORT = re.compile(r"In `([^`]+)`, among the imports")
_ENTRY = re.compile(r"In `([^`]+)`, in `(\w+)`")


@dataclass(frozen=True)
class Page:
    """A page's text.

    Attributes:
        text: from its heading to the next one.
    """

    text: str

    def edits(self) -> list[tuple[str, str]]:
        """(what to do, code) in order."""
        return [
            (found["what"].strip(), textwrap.dedent(found[0].split("```")[1][len("python\n") :]))
            for found in _BLOCK.finditer(self.text)
        ]

    def commands(self) -> list[list[str]]:
        """The words of each command."""
        shells = [found["lines"].replace("\\\n", " ") for found in _SHELL.finditer(self.text)]
        return [shlex.split(line) for shell in shells for line in shell.splitlines()]


def page(title: str) -> Page:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return Page(text.split(f"\n## {title}\n")[1].split("\n## ")[0])


def followed(edits: list[tuple[str, str]], repository: Path) -> set[Path]:
    """Do what a page says; the files that were written."""
    touched = set()
    for what, code in edits:
        if new := _NEW.fullmatch(what):
            path = repository / new[1]
            assert not path.exists(), f"{path} is there already"
            path.write_text(code, encoding="utf-8")
        elif among := _IMPORT.fullmatch(what):
            path = repository / among[1]
            path.write_text(with_import(path.read_text(encoding="utf-8"), code), encoding="utf-8")
        elif entry := _ENTRY.fullmatch(what):
            path = repository / entry[1]
            path.write_text(with_entry(path.read_text(encoding="utf-8"), entry[2], code), encoding="utf-8")
        else:
            pytest.fail(f"nobody can follow this: {what}")
        touched.add(path)
    return touched


def with_import(source: str, code: str) -> str:
    """The source with a line below its last import."""
    last = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)][-1]
    lines = source.splitlines(keepends=True)
    return "".join([*lines[: last.end_lineno], code, *lines[last.end_lineno :]])


def with_entry(source: str, name: str, code: str) -> str:
    """The source with another entry at the end of a list or mapping at the top level."""
    values = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            values[ast.unparse(target)] = node.value
    value = values[name]
    assert isinstance(value, ast.Dict | ast.List)
    lines = source.splitlines(keepends=True)
    end = sum(len(line.encode()) for line in lines[: value.end_lineno - 1]) + value.end_col_offset - 1
    before, after = source.encode()[:end].decode().rstrip(), source.encode()[end:].decode()
    return f"{before}{'' if before.endswith(',') else ','}\n{code}{after}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("xssr_strategy", "tests/support", "tests/selection", "tests/embedding", "tests/segmentation"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("pyproject.toml", *(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("*.py"))):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.mark.parametrize("title", ["Add a selector", "Add an encoder", "Add a training method"])
def test_a_page_leads_to_something_that_passes_the_shared_test(title: str, repository: Path) -> None:
    one = page(title)
    files = followed(one.edits(), repository)
    assert any(not (ROOT / file.relative_to(repository)).exists() for file in files), "a page adds a file"
    run(repository, "-m", "ruff", "check", "--fix", *map(str, files))  # the order of imports and names
    run(repository, "-m", "ruff", "format", *map(str, files))
    commands = one.commands()
    assert commands
    for words in commands:
        assert words[0] == ".venv/bin/python"
        told = run(repository, *words[1:], "-p", "no:cacheprovider")
        assert re.search(r"\d+ passed", told)
        assert not re.search(r"failed|error|skipped", told)


def run(repository: Path, *words: str) -> str:
    """What a command prints; Python finds the package in the folder in which it runs."""
    done = subprocess.run([sys.executable, *words], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
