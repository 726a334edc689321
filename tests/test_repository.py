"""Files of the repository that other tools read: the citation and the hooks before a commit."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import yaml

import xssr_strategy

ROOT = Path(__file__).parents[1]


def test_a_wheel_holds_every_package_and_every_file_beside_its_modules() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split()) - {"xssr_strategy.app"}
    package = ROOT / "xssr_strategy"
    assert listed == {".".join(path.parent.relative_to(ROOT).parts) for path in package.rglob("__init__.py")}
    patterns = {name: text.replace(",", " ").split() for name, text in setup["options.package_data"].items()}
    beside = [path for path in package.rglob("*.*") if path.suffix not in (".py", ".pyc") and path.is_file()]
    assert len(beside) > 5
    for path in beside:
        within = patterns.get(".".join(path.parent.relative_to(ROOT).parts), [])
        assert any(path.match(pattern) for pattern in within), path


def test_the_citation_has_what_the_format_requires_and_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == xssr_strategy.__version__
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["url"] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_hooks_run_what_make_lint_runs() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    hooks = [hook["entry"].replace(" --force-exclude", "").removeprefix(".venv/bin/") for hook in repository["hooks"]]
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    rules = re.search(r"^lint: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert rules
    lines = [line.strip().removeprefix("$(BIN)/").removesuffix(" .") for line in rules[1].splitlines()]
    assert hooks == [line for line in lines if line != "python -m tests.audit"]


def test_every_file_that_the_architecture_lists_is_there() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    package = ROOT / "xssr_strategy"
    rooms = "|".join(sorted(path.parent.name for path in package.glob("*/__init__.py")))
    named = set(re.findall(rf"`((?:{rooms})(?:/\w+)+)", text)) - {"labels/final"}  # a folder of studies
    assert len(named) > 50
    missing = sorted(name for name in named if not (package / f"{name}.py").exists() and not (package / name).is_dir())
    assert not missing
