"""The pages: their Python runs, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.app import App
from xssr_strategy.tasks.work_state import State

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    lost = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not link.startswith("http") and (not target.exists() or (anchor and anchor not in headings(target))):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("name", ["README.md", "docs/COMMANDS.md"])
def test_the_python_of_a_page_runs(name: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    printed = subprocess.run([sys.executable, "-c", blocks[0]], check=True, capture_output=True, text=True).stdout
    assert len(re.findall(r"\d+", printed.partition("]")[0])) == 22


def test_the_readme_names_every_page() -> None:
    linked = {link for link in links(ROOT / "README.md") if link.endswith(".md")}
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} <= linked
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 95


def keys(heading: str) -> set[str]:
    """The keys in the last table below a heading of the page about the answers."""
    text = (ROOT / "docs" / "HTTP.md").read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    table = text.split("| key | meaning |")[-1]
    return {
        key
        for line in table.splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`(\w+)`", line.split("|")[1])
    }


def test_the_page_about_the_answers_names_their_keys(tmp_path: Path) -> None:
    app = App(tmp_path)
    app.score()
    answer = app.ask("ann")
    assert answer is not None
    assert keys("The next sample") == answer.keys() | {"path", "name"}  # which the server adds
    assert keys("The state of the work") == set(State.__dataclass_fields__) | {"reasons"}
