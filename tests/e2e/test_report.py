"""The report of a simulation in a real browser without a network, and on paper.

Screenshots go to the folder that ``XSSR_SCREENSHOTS`` names, or to pytest's own.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, sync_playwright

from tests.e2e import requirements
from tests.support.data import MONTGOMERY, SHENZHEN, held_out, need
from tests.support.harness import copy_pool
from tests.support.orthanc import need as need_program
from tests.support.synthetic import write_experiment
from xssr_strategy.simulation.report import write_report
from xssr_strategy.simulation.results import read_experiment_info, read_results
from xssr_strategy.simulation.statistics import verdicts

pytestmark = pytest.mark.e2e

CASES = {
    "curves": ("xray", (4, 8, 16), ("lung",)),
    "single-budget": ("mri", (16,), ("liver", "spleen")),
}


@pytest.fixture(scope="module", params=CASES)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    preset, budgets, labels = CASES[request.param]
    out = tmp_path_factory.mktemp(request.param)
    write_experiment(out, preset, budgets, labels=labels)
    return write_report(out, failures={"coreset-4-d0-s9": "out of <memory>"}, missing=1)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The X-ray report of ``make simulate-quick`` on some of the real X-rays, with fewer strategies and steps."""
    out, xrays = (tmp_path_factory.mktemp(name) for name in ("quick", "xrays"))
    some_of(need(MONTGOMERY), xrays, 24)
    some_of(need(SHENZHEN), xrays, 80, held_out(SHENZHEN))
    less = f"--strategies xssr,random,full --steps 16 --encoder-steps 12 --jobs 1 --out {out}"
    command = ["make", "simulate-quick-xrays", f"XRAYS={xrays}", f"SIMULATE_ARGS={less}"]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True, timeout=1000)
    return out / "report.html"


def some_of(domain: Path, folder: Path, count: int, test: Sequence[str] = ()) -> None:
    """So many images of a domain with their labels, and ten of its test cases."""
    pool = sorted({path.stem for path in (domain / "images").iterdir()} - set(test))[:count]
    for part in ("images", "labels"):
        copy_pool(domain / part, [*pool, *test[:10]], folder / domain.name / part)
    (folder / domain.name / "test.txt").write_text("\n".join(test[:10]))


@pytest.fixture
def opened(report: Path) -> Iterator[tuple[Page, list[str]]]:
    """The page, and whatever went wrong or was asked for."""
    with browsed(report) as opened:
        yield opened


@contextmanager
def browsed(report: Path) -> Iterator[tuple[Page, list[str]]]:
    program = requirements.browser()
    need_program(program)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        context = browser.new_context(viewport={"width": 1100, "height": 900}, offline=True)
        page, noted = context.new_page(), []
        page.on("console", lambda message: noted.append(message.text))
        page.on("pageerror", lambda error: noted.append(str(error)))
        page.on("request", lambda asked: noted.append(asked.url))
        page.goto(report.as_uri())
        yield page, [one for one in noted if one != report.as_uri() and not one.startswith("data:")]
        browser.close()


def drawn(picture: Locator) -> bool:
    """Whether the browser could decode it and shows it."""
    size = picture.evaluate("one => one.complete && one.naturalWidth * one.offsetWidth * one.offsetHeight")
    return picture.is_visible() and bool(size)


def test_it_opens_without_a_network(opened: tuple[Page, list[str]], report: Path) -> None:
    page, noted = opened
    assert noted == []
    pictures = page.locator("img").all()
    assert len(pictures) > 50
    assert all(drawn(picture) for picture in pictures)
    for section in ("curves", "differences", "calibration"):
        assert page.locator(f"#{section} .plot img").first.bounding_box()["width"] > 900  # type: ignore[index]
    sentences = [one.sentence for one in verdicts(read_experiment_info(report.parent), read_results(report.parent))]
    shown = page.locator("#verdicts .verdict")
    assert sorted(shown.all_inner_texts()) == sorted(sentences)
    assert shown.first.is_visible()
    assert "out of <memory>" in page.locator("#failures").inner_text()
    # Nothing is wider than the window.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    _keep(page, report)


def test_it_fits_a_telephone(opened: tuple[Page, list[str]]) -> None:
    page, _ = opened
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_it_prints_on_a4(opened: tuple[Page, list[str]], report: Path) -> None:
    page, _ = opened
    pdf = page.pdf(prefer_css_page_size=True)
    pages = re.findall(rb"/Type\s*/Page\b", pdf)
    boxes = {tuple(round(float(side)) for side in box.split()) for box in re.findall(rb"/MediaBox\s*\[([^]]*)\]", pdf)}
    assert 4 <= len(pages) <= 9
    assert boxes <= {(0, 0, 595, 842), (0, 0, 596, 842), (0, 0, 595, 841)}
    page.emulate_media(media="print")
    background = "one => getComputedStyle(one).backgroundColor"
    assert page.locator(".card").first.evaluate(background) == "rgba(0, 0, 0, 0)"
    # No figure is taller than a page, so none is cut.
    page.set_viewport_size({"width": 688, "height": 1000})  # 182 mm
    heights = page.locator(".plot").evaluate_all("all => all.map(one => one.offsetHeight)")
    assert max(heights) < 900


def test_the_quick_simulation_shows_curves_verdicts_and_thumbnails(quick: Path) -> None:
    with browsed(quick) as (page, noted):
        assert noted == []
        assert page.locator("#curves .plot img").first.bounding_box()["width"] > 900  # type: ignore[index]
        sentences = page.locator("#verdicts .verdict").all_inner_texts()
        assert any(text.startswith("xssr with 22 labels: Dice 0.") for text in sentences)
        assert any(text.startswith("xssr with 5 labels: Dice 0.") for text in sentences)
        picks = page.locator("#picks img").all()
        assert len(picks) == 2 * 22
        assert all(drawn(picture) for picture in picks)
        assert page.locator("#worst img").count() == 4
        assert page.locator("#missing").count() == 0
        _keep(page, quick)


def _keep(page: Page, report: Path) -> None:
    pictures = Path(os.environ.get("XSSR_SCREENSHOTS") or report.parent)
    pictures.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=pictures / f"report-{report.parent.name}.png", full_page=True)
