"""The pages: their Python runs, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
