"""What the map shows, and the page and the picture that show it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.map_stores import ENCODER, filled
from tests.support.rankings import ranking
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.errors import UserError
from xssr_strategy.pool_map import page
from xssr_strategy.pool_map.colours import colours
from xssr_strategy.pool_map.content import MapContent, changing_part, fixed_part, images_of
from xssr_strategy.pool_map.layout import update
from xssr_strategy.pool_map.page import offline_page, shell
from xssr_strategy.pool_map.paper import DPI, SIZE, check_picture, draw_map, map_figure
from xssr_strategy.pool_map.states import PoolState
from xssr_strategy.settings import parse_settings

EVIL = "</script><script>alert(1)</script><!--"


@pytest.fixture
def content(tmp_path: Path) -> MapContent:
    """Thirty images, one of which cannot be read, and eight of a source."""
    store = filled(tmp_path / "store.sqlite", 30, 8)
    pool = sorted(store.fingerprints(TARGET, ENCODER))
    layout = update(store, ENCODER, pool, parse_settings({}))
    images = images_of([*pool, EVIL], layout)
    clusters = {image: number % 3 for number, image in enumerate(pool)}
    entropies = {image: number / 40 for number, image in enumerate(pool)}
    fixed = fixed_part("pool & more", images, layout, colours(images, clusters, {}, {"entropy": entropies}))
    state = PoolState(("i009",), {"i004": 0.0}, {"i002": "motion"}, {EVIL: EVIL}, ranking(pool[:12], ["i009"], 5))
    return MapContent(fixed, changing_part(fixed, state))


def test_the_counts_in_words(content: MapContent) -> None:
    assert content.changing["summary"] == (
        "31 images: 4 picked, 1 leased, 1 labelled, 1 failed, 1 skipped, 23 waiting; 8 source images."
    )


def test_places_notes_and_terms(content: MapContent) -> None:
    fixed, changing = content.fixed, content.changing
    assert fixed["pool"] == 31
    assert fixed["ids"][0] == EVIL
    assert fixed["x"][0] is None
    assert all(x is not None for x in fixed["x"][1:])
    assert changing["notes"]["0"] == EVIL
    assert changing["notes"][str(fixed["ids"].index("i002"))] == "motion"
    assert re.fullmatch(r"with an annotator until \d\d:\d\d", changing["notes"][str(fixed["ids"].index("i004"))])
    assert changing["terms"][str(fixed["ids"].index("i000"))][:5] == [2, 0.5, 0.25, 0.75, 1.0]
    assert changing["states"][changing["order"][0]] == "l"


def test_the_version_follows_what_is_shown(content: MapContent) -> None:
    fixed = content.fixed
    same = changing_part(fixed, PoolState())
    assert same["version"] == changing_part(fixed, PoolState())["version"]
    labelled = changing_part(fixed, PoolState(("i001",)))
    assert labelled["version"] != same["version"]
    assert labelled["version"].partition(".")[0] == fixed["version"]


class Scripts(HTMLParser):
    """The scripts of a page, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.code: list[str] = []
        self.data: dict[str, str] = {}
        self._into: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self._into, self._id = [], dict(attrs).get("id")

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._into is not None:
            text, self._into = "".join(self._into), None
            if self._id is None:
                self.code.append(text)
            else:
                self.data[self._id] = text


def policy(text: str) -> str:
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    return found[1]


def test_a_name_never_becomes_markup_or_code(content: MapContent) -> None:
    text = offline_page(content, [b"picture", *[None] * 38], "state")
    scripts = Scripts(text)
    assert json.loads(scripts.data["content"])["fixed"]["ids"][0] == EVIL
    assert json.loads(scripts.data["pictures"])[0] == base64.b64encode(b"picture").decode()
    assert EVIL not in text
    assert "pool &amp; more" in text
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts.code]
    assert re.findall(r"'sha256-([^']+)'", policy(text)) == digests


def test_the_page_may_ask_for_nothing(content: MapContent, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = policy(offline_page(content, [None] * 39, "state"))
    assert allowed.startswith("default-src 'none'")
    assert "connect-src" not in allowed
    assert "unsafe-eval" not in allowed
    monkeypatch.setattr(page, "MANY", 10)
    assert "unsafe-eval" in policy(offline_page(content, [None] * 39, "state"))


def test_the_shell_holds_nothing_and_asks_its_server_alone() -> None:
    text = shell(False).decode()
    assert Scripts(text).data == {}
    assert "connect-src 'self'" in policy(text)


@pytest.mark.parametrize("colour", ["state", "cluster", "entropy", "dice"])
def test_the_picture(content: MapContent, tmp_path: Path, colour: str) -> None:
    file = tmp_path / "map.png"
    draw_map(file, content, colour)
    with Image.open(file) as image:
        assert image.size == (round(SIZE[0] * DPI), round(SIZE[1] * DPI))
        pixels = np.asarray(image.convert("L"))
    assert 0.01 < (pixels < 250).mean() < 0.5
    figure = map_figure(content, colour)
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend() is not None]
    said = [text.get_text() for text in legend.get_texts()]
    assert {"picked (4)", "labelled (1)", "leased (1)", "skipped (1)", "failed, not on the map (1)"} <= set(said)
    assert ("cluster 1 (10)" in said) == (colour == "cluster")
    assert ("entropy (nats)" in [axes.get_ylabel() for axes in figure.axes]) == (colour == "entropy")


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.png"):
        check_picture(tmp_path / "map.jpg")
    with pytest.raises(UserError, match="does not exist"):
        check_picture(tmp_path / "none" / "map.png")
