"""A pool that is embedded by several processes: the same vectors, whoever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.poison import poisoned_environment
from tests.support.ray_cluster import two_nodes
from xssr_strategy.embedding.catalogue import build_encoder
from xssr_strategy.embedding.checkpoint import EncoderCheckpoint, load_encoder, save_encoder
from xssr_strategy.embedding.pool import EmbeddingReport, EmbeddingWorkers, embed_pool
from xssr_strategy.embedding.store import TARGET, EmbeddingStore
from xssr_strategy.images.listing import find_images
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.thumbnail_store import ThumbnailStore
from xssr_strategy.parallel.images import Workers

PRESET = replace(PRESETS["xray"], encoder_size=32, encoder_patch=8, encoder_channels=(8, 16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    for index in range(70):
        values = np.random.default_rng(index).integers(0, 255, (40, 32), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"i{index:02d}.png")
    (folder / "text.png").write_text("no image")
    return folder


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    save_encoder(tmp_path / "encoder.safetensors", "conv_mae", build_encoder("conv_mae", PRESET), PRESET, {})
    return tmp_path / "encoder.safetensors"


class Place:
    """A workspace in which a folder is embedded."""

    def __init__(self, root: Path, encoder: Path) -> None:
        self.checkpoint: EncoderCheckpoint = load_encoder(encoder)
        self.store, self.thumbnails = EmbeddingStore(root / "store.sqlite"), ThumbnailStore(root / "thumbnails.sqlite")
        self._encoder = encoder

    def embed(self, folder: Path, workers: Workers | None) -> EmbeddingReport:
        by = None if workers is None else EmbeddingWorkers(workers, self._encoder)
        images = find_images(folder)
        return embed_pool(
            images, TARGET, self.checkpoint, self.store, thumbnails=self.thumbnails, device=None, workers=by
        )

    def found(self) -> tuple[list[str], np.ndarray, list[str], dict[str, tuple[str, str]]]:
        images, vectors = self.store.vectors(TARGET, self.checkpoint.id)
        return images, vectors, sorted(self.thumbnails.pictures(TARGET)), self.store.failures(TARGET)


def assert_as_in_one_process(place: Place, folder: Path, encoder: Path, tmp_path: Path, besides: int = 0) -> None:
    alone = Place(tmp_path / "alone", encoder)
    alone.embed(folder, None)
    images, vectors, pictures, failures = alone.found()
    ours = place.found()
    assert ours[0] == images
    np.testing.assert_allclose(ours[1], vectors, rtol=1e-4, atol=1e-5)
    assert ours[2] == pictures == images
    assert {image: ours[3][image] for image in failures} == failures
    assert len(ours[3]) == len(failures) + besides


@pytest.mark.slow
def test_two_processes_make_what_one_makes_whoever_dies(
    folder: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, killed = Place(tmp_path / "ours", encoder), []
    (folder / "segfault.png").write_bytes((folder / "i00.png").read_bytes())
    for name, value in poisoned_environment(tmp_path / "poison").items():
        monkeypatch.setenv(name, value)
    put = place.store.put

    def kill_one(*batch: object) -> None:
        put(*batch)  # type: ignore[arg-type]
        if not killed:
            killed.append(multiprocessing.active_children()[0])
            killed[0].kill()

    monkeypatch.setattr(place.store, "put", kill_one)
    report = place.embed(folder, Workers(2))
    assert len(killed) == 1
    assert (report.embedded, report.unchanged, set(report.failed)) == (70, 0, {"text", "segfault"})
    assert report.failed["segfault"] == f"{folder / 'segfault.png'}: ends the process that reads or embeds it; " + (
        "export it again or remove it from the folder"
    )
    again = place.embed(folder, Workers(2))  # which only looks
    assert (again.embedded, again.unchanged, dict(again.failed)) == (0, 72, {})
    (folder / "segfault.png").unlink()
    assert_as_in_one_process(place, folder, encoder, tmp_path, besides=1)
    assert multiprocessing.active_children() == []


_EMBED = """
import sys
from pathlib import Path
from tests.embedding.test_workers import Place
from xssr_strategy.parallel.images import Workers
if __name__ == "__main__":
    root, encoder, folder = map(Path, sys.argv[1:])
    Place(root, encoder).embed(folder, Workers(2))
"""


@pytest.mark.slow
def test_when_the_head_is_killed_its_processes_end_and_a_second_run_does_what_is_missing(
    folder: Path, encoder: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path / "ours", encoder)
    script = tmp_path / "embed.py"
    script.write_text(_EMBED)
    surroundings = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(tmp_path / "ours"), str(encoder), str(folder)]
    with subprocess.Popen(command, env=surroundings, start_new_session=True) as head:
        deadline = time.monotonic() + 300
        while not place.store.fingerprints(TARGET, place.checkpoint.id) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(head.pid, signal.SIGKILL)
    before = len(place.store.fingerprints(TARGET, place.checkpoint.id))
    assert before > 0
    report = place.embed(folder, None)
    assert report.embedded == 70 - before
    assert_as_in_one_process(place, folder, encoder, tmp_path)


@pytest.mark.slow
def test_the_nodes_of_a_cluster_make_what_one_process_makes(
    folder: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "ours", encoder)
    with two_nodes(monkeypatch) as cluster:
        report = place.embed(folder, Workers(address=cluster.address))
    assert (report.embedded, set(report.failed)) == (70, {"text"})
    assert_as_in_one_process(place, folder, encoder, tmp_path)
