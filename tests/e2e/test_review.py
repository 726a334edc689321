"""The page of ``xssr review`` in a real browser, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.data import SHENZHEN, held_out, need
from tests.support.harness import copy_pool
from tests.support.map_page import browsed, chromium, keep
from xssr_strategy.cli import main
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.pool.workspace import Workspace
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.mask_autoencoding import WithMaskQuality
from xssr_strategy.segmentation.methods.supervised import Supervised
from xssr_strategy.segmentation.plan import plan_from
from xssr_strategy.segmentation.publication import publish
from xssr_strategy.segmentation.training import train

pytestmark = pytest.mark.e2e


def test_the_page_shows_the_worst_masks_with_their_outlines(tmp_path: Path) -> None:
    need(SHENZHEN)
    ids = sorted({path.stem for path in (SHENZHEN / "images").iterdir()} - set(held_out(SHENZHEN)))[:12]
    studies = copy_pool(SHENZHEN / "images", ids, tmp_path / "studies")
    pairs = [{part[:-1]: str(SHENZHEN / part / f"{image}.png") for part in ("images", "labels")} for image in ids[:3]]
    usable, _ = usable_pairs(pairs, PRESETS["xray"], ("lung",))
    plan = plan_from(usable, PRESETS["xray"], ("lung",))
    method = WithMaskQuality(Supervised(30))
    network = train(method, TrainingData(PRESETS["xray"], usable), plan, 0, torch.device("cpu"))
    assert method.autoencoder is not None
    file = Workspace(studies / ".xssr").segmentation
    file.parent.mkdir(parents=True)
    publish(network.state_dict(), plan, file, method.autoencoder.state_dict())
    assert main(["review", "--studies", str(studies), "--out", str(tmp_path / "review.csv"), "--shown", "9"]) == 0

    address = (tmp_path / "review.html").as_uri()
    with chromium() as browser, browsed(browser, address, offline=True) as (page, noted):
        assert [one for one in noted if address not in one and "data:" not in one] == []
        pictures = page.locator("img").all()
        assert len(pictures) == 9
        assert all(picture.evaluate("one => one.complete && one.naturalWidth > 200") for picture in pictures)
        first = page.locator("li").first.inner_text()
        assert first.startswith("1.")
        assert "quality 0." in first
        assert "9 of 12 masks are shown" in page.inner_text("body")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.set_viewport_size({"width": 1280, "height": 900})
        keep(page, "review", tmp_path)
