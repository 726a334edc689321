"""The map: as a file without a network, and on a real server that people annotate with.

Screenshots go to the folder that ``XSSR_SCREENSHOTS`` names, or to pytest's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.map_page import DRAWN, browsed, card_of, chromium, dots, keep, legend, most_alone, point_at, settled
from tests.support.pools import write
from tests.support.realm import ADMIN, ANNOTATOR, USER, Realm
from tests.support.warm import start_server
from xssr_strategy.cli import main
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.server import Server

pytestmark = pytest.mark.e2e

EVIL = "<img src=x onerror=alert(1)>'\"&amp;"  # the name of a file can be anything
POOL, SOURCE, BUDGET = 40, 12, 6


def label_of(folder: Path) -> Path:
    file = folder / "label.png"
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    Image.fromarray(mask).save(file)
    return file


def studies_in(folder: Path) -> Path:
    """A pool with a file that is no image and one with a wild name."""
    studies = write(folder / "studies", POOL, 1)
    (studies / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    (studies / "i07.png").rename(studies / f"{EVIL}.png")
    return studies


@dataclass(frozen=True)
class Written:
    """A map as a file, and the picture beside it."""

    page: Path
    picture: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("map")
    studies, source = studies_in(folder), write(folder / "source", SOURCE, 2)
    labels = studies / "labels" / "final"
    labels.mkdir(parents=True)
    for number in (3, 1):
        label_of(folder).rename(labels / f"i0{number}.png")
        time.sleep(0.02)
    sites = folder / "sites.csv"
    sites.write_text("image,site\n" + "".join(f"i{n:02},{'north' if n % 3 else 'south'}\n" for n in range(POOL)))
    dice = folder / "cases.csv"
    dice.write_text("case,label,dice\n" + "".join(f"i{n:02},lung,{0.5 + n / 100}\n" for n in range(POOL - 5)))
    out = Written(folder / "map.html", folder / "map.png")
    arguments = ["map", "--studies", str(studies), "--source", str(source), "--encoder-steps", "4"]
    arguments += ["--budget", str(BUDGET), "--workspace", str(folder / "workspace"), "--sites", str(sites)]
    assert main([*arguments, "--dice", str(dice), "--out", str(out.page), "--png", str(out.picture)]) == 0
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(written: Written, browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    with browsed(browser, written.page.as_uri(), offline=True) as (page, noted):
        page.wait_for_selector(DRAWN)
        yield page, noted
        assert [
            one for one in noted if not one.startswith(("asked for data:", "asked for blob:", "asked for file:"))
        ] == []


def test_a_file_shows_every_image_without_a_network(opened: tuple[Page, list[str]], tmp_path: Path) -> None:
    page, _ = opened
    summary = page.locator("#summary").inner_text()
    assert summary == f"41 images: 4 picked, 2 labelled, 1 failed, 34 waiting; {SOURCE} source images."
    # Dots of what is picked or labelled lie on those of the pool.
    assert dots(page) == {"source": SOURCE, "pool": POOL, "labelled": 2, "picked": BUDGET - 2}
    assert legend(page) == {f"source ({SOURCE})", "pool (34)", "failed (1)", "labelled (2)", "picked (4)"}
    assert "broken" in page.locator("#strip").inner_text()
    assert page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight"
    )
    keep(page, "map-1-state", tmp_path)


def test_the_mouse_shows_picture_and_terms(opened: tuple[Page, list[str]], tmp_path: Path) -> None:
    page, _ = opened
    order = page.evaluate("page.content.changing.order.map((i) => page.content.fixed.ids[i])")
    assert order[:2] == ["i03", "i01"]  # as they were labelled
    pick = most_alone(page, order[2:6])
    place = order.index(pick) + 1
    shown = point_at(page, pick)
    assert shown.startswith(f"{pick}\npicked, {place} in the pick order\ncluster: ")
    assert "density" in shown
    assert f"Pick {place} of 41: " in shown
    picture = page.locator("#tip img")
    picture.wait_for(state="visible")
    assert picture.evaluate("one => one.naturalWidth") == 64
    keep(page, "map-2-hover", tmp_path)
    assert card_of(page, EVIL).startswith(f"{EVIL}\n")
    assert page.locator("#card img").count() == 1  # the name has become text, not an element


def test_keyboard_slider_and_colours(opened: tuple[Page, list[str]], tmp_path: Path) -> None:
    page, _ = opened
    page.locator("#order").focus()
    page.keyboard.press("Home")
    settled(page)
    assert "picked" not in dots(page)
    assert "labelled" not in dots(page)
    page.keyboard.press("ArrowRight")
    settled(page)
    assert dots(page)["labelled"] == 1
    assert "the first 1 of " in page.locator("#order-text").inner_text()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    settled(page)
    assert (dots(page)["labelled"], dots(page)["picked"]) == (2, 8)
    assert page.locator("#coverage").inner_text().startswith("mean coverage 0.")
    assert "10 in the pick order" in page.locator("#card").inner_text()

    assert page.locator("#colour option").all_inner_texts() == ["state", "cluster", "site", "Dice (0 to 1)"]
    page.select_option("#colour", "site")
    settled(page)
    assert "site north (25)" in page.locator("#groups").inner_text()
    page.select_option("#colour", "dice")
    settled(page)
    assert page.locator("#plot .colorbar").count() == 1
    assert "Dice (0 to 1)" in (page.locator("#plot .colorbar").text_content() or "")
    keep(page, "map-3-dice", tmp_path)
    page.locator('[data-state="s"]').press("Space")
    settled(page)
    assert "source" not in dots(page)


def test_an_image_is_found_by_its_name(opened: tuple[Page, list[str]]) -> None:
    page, _ = opened
    assert card_of(page, "i12").startswith("i12\n")
    settled(page)
    assert dots(page)["ring"] == 1
    card_of(page, "nobody")
    assert page.locator("#found").inner_text() == "No image of this name."


def test_pictures_for_papers(opened: tuple[Page, list[str]], written: Written, tmp_path: Path) -> None:
    page, _ = opened
    with page.expect_download() as download:
        page.locator("#save").click()
    saved = tmp_path / "saved.png"
    download.value.save_as(saved)
    with Image.open(saved) as image:
        assert image.size == (3000, 2400)
    with Image.open(written.picture) as image:
        assert image.size == (2100, 1680)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("served")
    studies, source = studies_in(folder), write(folder / "source", SOURCE, 2)
    conf = {"source": source, "encoder_steps": 4, "budget": BUDGET}
    with start_server(studies, conf, folder / "server.log") as server:
        yield server, folder


def test_dots_follow_the_annotators_without_a_reload(
    server: tuple[Server, Path], browser: Browser, tmp_path: Path
) -> None:
    running, folder = server
    annotator = RestAnnotator(running.url, "ann")
    with browsed(browser, f"{running.url}/xssr/map") as (page, noted):
        page.wait_for_selector(f"{DRAWN}, #status:not([hidden])")  # the map, or what is being done about it
        annotator.wait_until_ready(600)
        page.wait_for_selector(DRAWN, timeout=180_000)
        assert page.locator("#login").is_hidden()
        summary = page.locator("#summary")
        assert summary.inner_text() == f"41 images: {BUDGET} picked, 1 failed, 34 waiting; {SOURCE} source images."
        assert dots(page) == {"source": SOURCE, "pool": POOL, "picked": BUDGET}
        page.evaluate("window.notReloaded = true")

        sample = annotator.next_sample()["id"]
        expect(summary).to_contain_text("1 leased", timeout=180_000)
        assert f"{sample}\nleased" in card_of(page, sample)
        annotator.submit(sample, label_of(folder))
        page.evaluate("0")  # what the page asked before is noted before
        before = len(noted)
        expect(summary).to_contain_text("1 labelled", timeout=180_000)
        assert sum("/xssr/map/state" in line for line in noted[before:]) <= 3  # with the next question, or soon after
        settled(page)
        assert (dots(page)["labelled"], dots(page)["picked"]) == (1, BUDGET - 1)
        assert f"{sample}\nlabelled, 1 in the pick order" in card_of(page, sample)
        page.locator("#card img").wait_for(state="visible")
        assert page.evaluate("window.notReloaded")
        keep(page, "map-4-served", tmp_path)
    # Everything came from this server, and a picture only for a dot that was pointed at.
    asked = [one.removeprefix("asked for ") for one in noted if one.startswith("asked for ")]
    assert all(one.startswith((running.url, "blob:")) for one in asked)
    assert 1 <= sum("/thumbnail?" in one for one in asked) <= 6
    assert [one for one in noted if not one.startswith("asked for ")] == []


def test_polls_are_cheap_and_names_that_do_not_exist_refused(server: tuple[Server, Path]) -> None:
    url = f"{server[0].url}/xssr/map"
    RestAnnotator(server[0].url).wait_until_ready(600)
    deadline = time.monotonic() + 600
    while "content" not in (found := requests.get(f"{url}/data", timeout=300).json()):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    version = found["content"]["changing"]["version"]
    answer = requests.get(f"{url}/state", {"version": version}, timeout=300)
    assert answer.json() == {}
    assert "changing" in requests.get(f"{url}/state", {"version": f"{version.partition('.')[0]}.x"}, timeout=300).json()
    assert "content" in requests.get(f"{url}/state", {"version": "of another server"}, timeout=300).json()
    picture = requests.get(f"{url}/thumbnail", {"image": EVIL}, timeout=300)
    assert picture.headers["content-type"] == "image/webp"
    for asked in ({"image": "nobody"}, {"image": "i01", "domain": "nowhere"}, {"image": "../leases.sqlite"}):
        refused = requests.get(f"{url}/thumbnail", asked, timeout=300)
        assert refused.status_code == 404
        assert refused.json()["detail"].endswith("name the id of an image of the pool.")
    page = requests.get(url, timeout=300)
    assert requests.get(url, headers={"If-None-Match": page.headers["etag"]}, timeout=300).status_code == 304
    assert "i01" not in page.text[page.text.rindex("</style>") :]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Realm]]:
    folder = tmp_path_factory.mktemp("guarded")
    with Realm() as realm:
        login = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": realm.uri}
        with start_server(write(folder / "studies", 12, 1), {"encoder_steps": 2}, folder / "log", more=login) as server:
            yield server, realm


def test_with_login_nothing_is_told_without_the_role(guarded: tuple[Server, Realm]) -> None:
    server, realm = guarded
    page = requests.get(f"{server.url}/xssr/map", timeout=300)
    assert page.status_code == 200  # the page, in which there is nothing
    for path in ("data", "state", "thumbnail?image=i01"):
        url = f"{server.url}/xssr/map/{path}"
        assert requests.get(url, timeout=300).status_code == 401
        for roles, status in (([], 403), ([ANNOTATOR], 403), ([ADMIN], 403)):
            bearer = {"Authorization": f"Bearer {realm.token(roles)}"}
            assert requests.get(url, headers=bearer, timeout=300).status_code == status
    bearer = {"Authorization": f"Bearer {realm.token([USER])}"}
    assert requests.get(f"{server.url}/xssr/map/data", headers=bearer, timeout=300).status_code == 200


def test_with_login_the_page_has_a_form(guarded: tuple[Server, Realm], browser: Browser, tmp_path: Path) -> None:
    server, realm = guarded
    realm.users["ann"] = ("secret", [USER])
    realm.users["bob"] = ("secret", [ANNOTATOR])
    with browsed(browser, f"{server.url}/xssr/map") as (page, _):

        def log_in(name: str, password: str) -> None:
            page.locator("#login").wait_for(state="visible")
            page.locator("#user").fill(name)
            page.locator("#password").fill(password)
            page.locator("#password").press("Enter")

        log_in("ann", "guessed")
        expect(page.locator("#status")).to_contain_text("password is wrong")
        log_in("bob", "secret")
        expect(page.locator("#status")).to_contain_text("Role")
        keep(page, "map-5-login", tmp_path)
        assert page.locator("#map").is_hidden()
        log_in("ann", "secret")
        page.wait_for_selector(DRAWN, timeout=180_000)
        assert page.locator("#login").is_hidden()
        assert page.locator("#summary").inner_text().startswith("12 images: 1 picked, 11 waiting")
        page.reload()  # the token lasts as long as the tab
        page.wait_for_selector(DRAWN)
