"""CONTRIBUTING.md: its pages are followed to the letter, in a copy of the repository."""

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
PAGES = ("Add a selector", "Add an encoder", "Add a training method")

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
        return [(found["what"].strip(), textwrap.dedent(found["code"]) + "\n") for found in _BLOCK.finditer(self.text)]

    def commands(self) -> list[list[str]]:
        """The words of each command."""
        shells = [found["lines"].replace("\\\n", " ") for found in _SHELL.finditer(self.text)]
        return [shlex.split(line) for shell in shells for line in shell.splitlines()]


def page(title: str) -> Page:
    """The page under this heading."""
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


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which all pages have been followed; the files that are new are tidied as `make lint` asks for it."""
    folder = tmp_path_factory.mktemp("repository")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("xssr_strategy", "tests/support", "tests/selection", "tests/embedding", "tests/segmentation"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", *(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("*.py"))):
        shutil.copy(ROOT / name, folder / name)
    files = [str(file) for title in PAGES for file in followed(page(title).edits(), folder)]
    run(folder, "-m", "ruff", "check", "--fix", *files)  # the order of imports and names
    run(folder, "-m", "ruff", "format", *files)
    return folder


@pytest.fixture(scope="module")
def outcome(repository: Path) -> str:
    """What the commands of all pages print, run as one: each by itself would import torch and MONAI again."""
    keywords, files = [], []
    for words in (words for title in PAGES for words in page(title).commands()):
        assert words[:6] == [".venv/bin/python", "-m", "pytest", "-q", "--doctest-modules", "-k"], words
        keywords.append(words[6])
        files += words[7:]
    options = ("-q", "-rA", "-p", "no:cacheprovider", "--doctest-modules")
    return run(repository, "-m", "pytest", *options, "-k", " or ".join(keywords), *files)


@pytest.mark.slow
@pytest.mark.parametrize("title", PAGES)
def test_a_page_leads_to_something_that_passes_the_shared_test(title: str, repository: Path, outcome: str) -> None:
    new = [found[1] for what, _ in page(title).edits() if (found := _NEW.fullmatch(what))]
    assert new, "a page adds a file"
    assert not any((ROOT / file).exists() for file in new)
    (command,) = page(title).commands()
    keyword, files = command[6], command[7:]
    assert set(new) <= set(files)
    for file in files:
        passed = [line for line in outcome.splitlines() if line.startswith(f"PASSED {file}") and keyword in line]
        assert passed, f"nothing of {file} ran"
    assert not re.search(r"\b(failed|error|skipped)\b", outcome.splitlines()[-1])


def run(folder: Path, *words: str) -> str:
    """What a command prints; Python finds the package in the folder in which it runs."""
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
