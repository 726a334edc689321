"""The map in a real browser, and what a test asks of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e import requirements
from tests.support.orthanc import need as need_program

DRAWN = "#plot[data-drawn]"

_COUNTS = """() => Object.fromEntries(document.getElementById('plot').data
    .filter((one) => one.x.length && one.visible !== 'legendonly' && one.x[0] !== null)
    .map((one) => [one.name, one.x.length]))"""

_PLACE = """(id) => {
    const plot = document.getElementById('plot'), { xaxis, yaxis, _size } = plot._fullLayout;
    const { ids, x, y } = page.content.fixed, i = ids.indexOf(id), box = plot.getBoundingClientRect();
    return [box.left + _size.l + xaxis.c2p(x[i]), box.top + _size.t + yaxis.c2p(y[i])];
}"""


_ALONE = """(images) => {
    const { ids, x, y } = page.content.fixed;
    const apart = (i, j) => (j === i || x[j] === null ? 9 : Math.hypot(x[i] - x[j], y[i] - y[j]));
    const room = (i) => Math.min(...ids.map((_, j) => apart(i, j)));
    return images.map((id) => [room(ids.indexOf(id)), id]).sort((a, b) => b[0] - a[0])[0][1];
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser."""
    program = requirements.browser()
    need_program(program)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@contextmanager
def browsed(browser: Browser, address: str, offline: bool = False) -> Iterator[tuple[Page, list[str]]]:
    """A page, and whatever went wrong on it or was asked of the network."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=offline)
    page, noted = context.new_page(), []
    page.on("console", lambda message: "GL Driver" in message.text or noted.append(message.text))
    page.on("pageerror", lambda error: noted.append(str(error)))
    page.on("request", lambda asked: noted.append(f"asked for {asked.url}"))
    page.goto(address)
    yield page, noted
    context.close()


def dots(page: Page) -> dict[str, int]:
    """Dots of each kind; those of the pool lie under the others, too."""
    counts: dict[str, int] = page.evaluate(_COUNTS)
    return counts


def legend(page: Page) -> set[str]:
    """What the legend says of the images."""
    return {*page.locator("#legend").inner_text().splitlines()} - {""}


def most_alone(page: Page, images: Sequence[str]) -> str:
    """The image whose dot has the most room, so that the mouse cannot mean another."""
    found: str = page.evaluate(_ALONE, list(images))
    return found


def point_at(page: Page, image: str) -> str:
    """What is shown when the mouse rests on the dot of an image."""
    x, y = page.evaluate(_PLACE, image)
    page.mouse.move(x - 1, y - 1)
    page.mouse.move(x, y)
    expect(page.locator("#tip .name")).to_have_text(image)
    return page.locator("#tip").inner_text()


def card_of(page: Page, image: str) -> str:
    """What is shown of an image whose name is entered."""
    page.locator("#find").fill(image)
    page.locator("#find").press("Enter")
    return page.locator("#card").inner_text()


def settled(page: Page) -> None:
    """Wait until nothing is being drawn."""
    page.evaluate("async () => { while (page.drawing) await new Promise((go) => setTimeout(go, 20)); }")


def keep(page: Page, name: str, folder: Path) -> None:
    """A screenshot in the folder that ``XSSR_SCREENSHOTS`` names, or in this one."""
    pictures = Path(os.environ.get("XSSR_SCREENSHOTS") or folder)
    pictures.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=pictures / f"{name}.png")
