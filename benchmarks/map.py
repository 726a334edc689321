"""The map of a large pool: how long it takes to lay out, to build and to draw, on vectors and pictures made here.

    python -m benchmarks.map [--images 20000] [--source 2000] [--page-only]

``--page-only`` draws places at random instead of laying the images out, which takes most of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from tests.e2e import requirements
from xssr_strategy.embedding.store import SOURCE, TARGET, EmbeddingStore, Vector
from xssr_strategy.images.pictures import small_picture
from xssr_strategy.images.thumbnail_store import Thumbnail, ThumbnailStore
from xssr_strategy.pool import cold_start_plan, pipeline
from xssr_strategy.pool.ranking import rank, write_ranking
from xssr_strategy.pool_map import layout as layouts
from xssr_strategy.pool_map.colours import colours
from xssr_strategy.pool_map.content import MapContent, changing_part, fixed_part, images_of
from xssr_strategy.pool_map.page import offline_page
from xssr_strategy.pool_map.states import PoolState
from xssr_strategy.settings import Settings, parse_settings

DIMENSIONS, GROUPS, ENCODER = 256, 30, "bench"

_TIMED = """async (act) => {
    const begin = performance.now();
    await new Function("return " + act)()();
    await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
    return performance.now() - begin;
}"""


def timed(what: str, run: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    found = run()
    print(f"{what}: {1e3 * (time.perf_counter() - begin):,.0f} ms", flush=True)
    return found


def fill(store: EmbeddingStore, thumbnails: ThumbnailStore, images: int, source: int) -> None:
    """Vectors in groups, of which the source has five, and blurred noise as pictures."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(GROUPS, DIMENSIONS))
    for domain, count, groups in ((SOURCE, source, 5), (TARGET, images, GROUPS)):
        vectors = centres[rng.integers(0, groups, count)] + 0.7 * rng.normal(size=(count, DIMENSIONS))
        names = [f"{domain}-{number:06}" for number in range(count)]
        rows = zip(names, vectors.astype(np.float32), strict=True)
        store.put(domain, ENCODER, [Vector(name, "1-1-1", row) for name, row in rows])
        noise = torch.from_numpy(rng.random((count, 1, 9, 9), dtype=np.float32))
        for begin in range(0, count, 500):
            planes = torch.nn.functional.interpolate(noise[begin : begin + 500], (64, 64), mode="bicubic").clamp(0, 1)
            pictures = zip(names[begin : begin + 500], planes, strict=True)
            thumbnails.put(domain, [Thumbnail(name, "1-1-1", small_picture(plane)) for name, plane in pictures])


def content_of(store: EmbeddingStore, settings: Settings, page_only: bool) -> MapContent:
    """The map, each step timed."""
    pool = sorted(store.fingerprints(TARGET, ENCODER))
    ranking = timed("ranking", lambda: rank(ENCODER, pool, pool[:50], settings, store))
    write_ranking(store, ranking)
    if page_only:
        rng = np.random.default_rng(1)
        names = (*((SOURCE, image) for image in sorted(store.fingerprints(SOURCE, ENCODER))),)
        names = (*names, *((TARGET, image) for image in pool))
        places = rng.uniform(-1, 1, (len(names), 2)).round(4)
        layout = layouts.MapLayout("", "", names, ("0" * 8,) * len(names), np.zeros(len(names), bool), places)
        layouts._write(store, layout)
        clusters = {image: number % 12 for number, image in enumerate(pool)}
    else:
        plan = timed("clusters of a cold start", lambda: cold_start_plan.update(ENCODER, pool, settings, store))
        layout = timed("layout", lambda: layouts.update(store, ENCODER, pool, settings, plan))
        assert plan is not None
        clusters = plan.cluster
        timed("layout, nothing new", lambda: layouts.update(store, ENCODER, pool, settings, plan))
    timed("reading the layout", lambda: layouts.read_layout(store))
    images = images_of(pool, layout)
    entropies = {image: float(value) for image, value in zip(pool, np.linspace(0, 0.7, len(pool)), strict=True)}
    found = timed("colours", lambda: colours(images, clusters, {}, {"entropy": entropies}))
    fixed = timed("what stays", lambda: fixed_part("bench", images, layout, found))
    state = PoolState(labelled=tuple(pool[:50]), ranking=ranking)
    return MapContent(fixed, timed("what changes", lambda: changing_part(fixed, state)))


def serve(folder: Path, store: EmbeddingStore, pool: list[str]) -> None:
    """What a server does for an open page, in one process: the datastore is real, its images are empty files."""
    from xssr_strategy.datastores.studies import StudiesDatastore
    from xssr_strategy.tasks.project import Project
    from xssr_strategy.web.map_view import MapView

    studies = folder / "studies"
    studies.mkdir()
    for image in pool:
        (studies / f"{image}.png").touch()
    project = Project(str(studies), {"preset": "xray", "budget": "100", "workspace": str(folder)})
    checkpoint = project.workspace.encoder(project.settings, project.preset)
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.touch()
    store.note(pipeline.encoder_note(checkpoint), {"id": ENCODER, "written": checkpoint.stat().st_mtime_ns})
    datastore = StudiesDatastore(str(studies), watch=False)
    view = MapView(project, str(studies))
    facts = timed("server: first look", lambda: view.look(datastore))
    content = json.loads(timed("server: the whole map", lambda: view.whole(facts)))["content"]
    version = content["changing"]["version"]
    for what in ("nothing has changed", "nothing has changed, again"):
        timed(f"server: a poll, {what}", lambda: view.since(view.look(datastore), version))
    project.leases.take(pool[7], "ann")
    answer = timed("server: a poll, an image was leased", lambda: view.since(view.look(datastore), version))
    print(f"server: that answer: {len(answer) / 1e3:.0f} kB")


def browse(page: Path) -> None:
    """Open the page in Chromium, and time what people do on it."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=requirements.browser(), args=arguments)
        for webgl in (True, False):
            context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True, bypass_csp=True)
            opened = context.new_page()
            if not webgl:  # as on a remote desktop
                opened.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
            kind = "WebGL" if webgl else "no WebGL"

            def draw(opened: Any = opened) -> None:
                opened.goto(page.as_uri(), timeout=120_000)
                opened.wait_for_selector("#plot[data-drawn]", timeout=120_000)

            timed(f"{kind}: opened and drawn", draw)
            acts = {
                "colour by cluster": "() => { page.view.colour = 'cluster'; return page.draw(); }",
                "colour by entropy": "() => { page.view.colour = 'entropy'; return page.draw(); }",
                "slider by one": "() => page.showFirst(page.view.shown + 1)",
                "first picture decoded": "() => page.picture(5)",
            }
            for what, act in acts.items():
                print(f"{kind}: {what}: {opened.evaluate(_TIMED, act):,.0f} ms", flush=True)
            context.close()
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="The map of a large pool.")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--source", type=int, default=2_000)
    parser.add_argument("--page-only", action="store_true", help="places at random: the layout is not timed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, thumbnails = EmbeddingStore(folder / "embeddings.sqlite"), ThumbnailStore(folder / "thumbnails.sqlite")
        timed("vectors and pictures made", lambda: fill(store, thumbnails, arguments.images, arguments.source))
        content = content_of(store, parse_settings({"budget": "100"}), arguments.page_only)
        known = timed("reading the pictures", lambda: {d: thumbnails.pictures(d) for d in (SOURCE, TARGET)})
        pool = content.fixed["pool"]
        pictures = [known[TARGET if i < pool else SOURCE].get(one) for i, one in enumerate(content.fixed["ids"])]
        page = folder / "map.html"
        text = timed("building the page", lambda: offline_page(content, pictures, "state"))
        page.write_text(text, encoding="utf-8")
        size = np.mean([len(picture or b"") for picture in pictures])
        print(f"page: {page.stat().st_size / 1e6:.1f} MB, a picture: {size:.0f} bytes")
        serve(folder, store, content.fixed["ids"][:pool])
        browse(page)


if __name__ == "__main__":
    main()
