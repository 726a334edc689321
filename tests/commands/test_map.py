"""``xssr map``: a page and a picture of a pool, labelled, skipped and damaged images included."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.map_page import DRAWN, browsed, card_of, chromium
from tests.support.pools import write
from xssr_strategy.cli import main
from xssr_strategy.embedding.store import TARGET
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.pool.leases import Leases
from xssr_strategy.segmentation.score_stores import ImageScore, QualityStore, UncertaintyStore


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def draw(studies: Path, *more: str) -> int:
    arguments = ["map", "--studies", str(studies), "--out", str(studies.parent / "map.html"), "--encoder-steps", "1"]
    return main([*arguments, "--budget", "3", *more])


def part(studies: Path, name: str) -> Any:
    """The data of a page by its name."""
    text = (studies.parent / "map.html").read_text(encoding="utf-8")
    found = re.search(rf'<script type="application/json" id="{name}"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = write(tmp_path / "studies", 20, 1)
    (folder / "broken.png").write_bytes(b"no image")
    labels = folder / "labels" / "final"
    labels.mkdir(parents=True)
    for number in (5, 2):
        (labels / f"i{number:02}.png").write_bytes(b"a label, which nobody opens")
    return folder


def test_page_and_picture(studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "source", 6, 2)
    assert draw(studies, "--source", str(source), "--png", str(tmp_path / "map.png"), "--colour", "site") == 0
    printed = capsys.readouterr().out
    assert "21 images: 1 picked, 2 labelled, 1 failed, 17 waiting; 6 source images." in printed
    content = part(studies, "content")
    ids = content["fixed"]["ids"]
    assert len(ids) == 27
    assert [ids[place] for place in content["changing"]["order"][:2]] in (["i05", "i02"], ["i02", "i05"])
    assert {one["key"] for one in content["fixed"]["colours"]} >= {"site"}
    pictures = part(studies, "pictures")
    assert [image for image, picture in zip(ids, pictures, strict=True) if picture is None] == ["broken"]
    with Image.open(tmp_path / "map.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=1)
    assert not (studies / ".xssr").exists()


def test_a_second_run_draws_the_same(studies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw(studies) == 0
    first = part(studies, "content")
    (store,) = (studies.parent / "cache").rglob("thumbnails.sqlite")
    ThumbnailStore(store).forget(TARGET, ["i03", "i04"])  # as if they had been embedded before pictures were kept
    capsys.readouterr()
    assert draw(studies) == 0
    assert "thumbnails: 2 of 2" in capsys.readouterr().out
    assert part(studies, "content") == first
    assert part(studies, "pictures").count(None) == 1


def test_what_a_server_knows_is_shown(studies: Path) -> None:
    workspace = studies / ".xssr"
    leases = Leases(workspace / "leases.sqlite")
    leases.skip("i07", "ann", "motion")
    leases.take("i08", "ann")
    UncertaintyStore(workspace / "uncertainty.sqlite").put("model", [ImageScore("i09", "1", 0.25)])
    QualityStore(workspace / "quality.sqlite").put("model", [ImageScore("i05", "1", {"a": 0.5, "b": 1.0})])
    assert draw(studies) == 0
    content = part(studies, "content")
    place = content["fixed"]["ids"].index("i07")
    assert content["changing"]["notes"][str(place)] == "motion"
    (entropy,) = [one for one in content["fixed"]["colours"] if one["key"] == "entropy"]
    assert entropy["values"][content["fixed"]["ids"].index("i09")] == 0.25
    (quality,) = [one for one in content["fixed"]["colours"] if one["key"] == "quality"]
    assert quality["values"][content["fixed"]["ids"].index("i05")] == 0.75
    assert "1 leased, 2 labelled, 1 failed, 1 skipped" in content["changing"]["summary"]
    assert (workspace / "thumbnails.sqlite").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--colour", "dice"), "--colour dice: needs --dice FILE"),
        (("--colour", "entropy"), "--colour entropy: there is no data for it; choose"),
        (("--png", "map.pdf"), "name a file that ends in .png"),
        (("--png", "/no/such/folder/map.png"), "its folder does not exist"),
        (("--out", "/no/such/folder/map.html"), "its folder does not exist"),
        (("--dice", "none.csv"), "cannot be read as text"),
        (("--sites", "none.csv"), "cannot be read as text"),
        (("--budget", "many"), "must be a number of images"),
    ],
)
def test_a_mistake_is_one_sentence(
    studies: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    assert draw(studies, *more) == 2
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_the_smallest_pools(tmp_path: Path, count: int) -> None:
    studies = write(tmp_path / "studies", count, 1)
    assert draw(studies, "--budget", "1", "--png", str(tmp_path / "map.png")) == 0
    content = part(studies, "content")
    assert None not in content["fixed"]["x"]


def test_the_other_images_of_a_patient(studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "patients.csv"
    table.write_bytes("\ufeffimage,patient\r\ni05.png,Ann Zanzibar\r\ni02,Ann Zanzibar\r\ni07,Bo\r\n".encode())
    assert draw(studies, "--patients", str(table)) == 2
    assert "is read for --per-patient and --encoder poly_cl alone" in capsys.readouterr().out
    assert draw(studies, "--per-patient", "--patients", str(table)) == 0
    fixed = part(studies, "content")["fixed"]
    numbers = dict(zip(fixed["ids"], fixed["patients"], strict=True))
    assert numbers["i05"] == numbers["i02"]
    assert len(set(numbers.values())) == 20  # of 21 images
    assert "Zanzibar" not in (tmp_path / "map.html").read_text(encoding="utf-8")


@pytest.mark.e2e
def test_the_card_of_a_dot_names_them(studies: Path, tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("image,patient\ni05,Ann\ni02,Ann\n")
    assert draw(studies, "--per-patient", "--patients", str(table)) == 0
    with chromium() as browser, browsed(browser, (tmp_path / "map.html").as_uri()) as (page, _):
        page.wait_for_selector(DRAWN, timeout=60_000)
        assert "same patient: i02" in card_of(page, "i05")
        assert "same patient" not in card_of(page, "i07")
