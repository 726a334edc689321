"""A server that cannot start says why in one line."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from tests.support import warm
from tests.support.harness import APP, environment, server_command
from tests.support.pools import write
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.errors import UserError

pytestmark = pytest.mark.e2e


def refusal(studies: Path, conf: Mapping[str, object], log: Path) -> str:
    """What a server prints that does not start."""
    with pytest.raises(UserError, match="did not start"), warm.start_server(studies, conf, log):
        pass
    output = log.read_text(encoding="utf-8")
    assert "Traceback" not in output
    return output


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "a.png")
    return folder


def test_a_wrong_key(studies: Path) -> None:
    command, _, surroundings = server_command(studies, {"alpah": 0.5}, APP)
    result = subprocess.run(
        command,
        env=surroundings,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode != 0
    output = result.stdout + result.stderr
    sentence = "--conf alpah: no such key (did you mean alpha?); the keys are source, "
    assert sum(sentence in line for line in output.splitlines()) == 1
    assert "Traceback" not in output


def test_a_wrong_value(studies: Path, tmp_path: Path) -> None:
    output = refusal(studies, {"alpha": 2}, tmp_path / "server.log")
    assert sum("--conf alpha 2: must be auto, or a number from 0" in line for line in output.splitlines()) == 1


@pytest.mark.parametrize("name", ["embeddings", "leases", "thumbnails", "uncertainty"])
def test_a_file_of_a_newer_version_or_a_damaged_one(studies: Path, tmp_path: Path, name: str) -> None:
    path = studies / ".xssr" / f"{name}.sqlite"
    path.parent.mkdir()
    if name in ("embeddings", "thumbnails"):
        sqlite3.connect(path).execute("PRAGMA user_version = 2")
        sentence = f"{path} was written by another version of this software (format 2, here 1): install that version"
    else:
        path.write_bytes(b"no database" * 1000)
        sentence = f"{path} cannot be opened as {'a list of leases' if name == 'leases' else 'a store of entropies'}"
    output = refusal(studies, {}, tmp_path / "server.log")
    assert sum(sentence in line for line in output.splitlines()) == 1


def test_an_empty_folder(tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    assert f"--studies {studies}: no image is there; put images" in refusal(studies, {}, tmp_path / "server.log")


def test_the_sample_app_shows_xssr_in_an_app_of_ones_own(tmp_path) -> None:
    studies = write(tmp_path / "studies", 8, 1)
    app = shutil.copytree(APP.parents[1] / "sample-apps" / "selection_only", tmp_path / "app")
    with warm.start_server(studies, {"encoder_steps": 2}, tmp_path / "server.log", app=app) as server:
        annotator = RestAnnotator(server.url)
        annotator.wait_until_ready(600)
        assert list(annotator.client.info()["strategies"]) == ["xssr"]
        assert annotator.next_sample()["rank"] == 1


def test_what_is_switched_off_is_said_and_the_rest_works(tmp_path) -> None:
    studies = write(tmp_path / "studies", 8, 1)
    off = {f"MONAI_LABEL_TASKS_{task}": "false" for task in ("TRAIN", "SCORING", "BATCH_INFER")}
    with warm.start_server(studies, {"encoder_steps": 2}, tmp_path / "server.log", more=off) as server:
        assert RestAnnotator(server.url).next_sample()["id"]
        for task in ("train/segmentation", "scoring/xssr", "batch/infer/segmentation"):
            answer = requests.post(f"{server.url}/{task}", timeout=300)
            assert (answer.status_code, "switches them on" in answer.json()["detail"]) == (404, True)
    assert "Traceback" not in (tmp_path / "server.log").read_text(encoding="utf-8", errors="replace")


def test_xssr_serve_refuses_before_it_starts(tmp_path) -> None:
    command = [sys.executable, "-m", "xssr_strategy.cli", "serve", "--studies", str(tmp_path / "missing")]
    result = subprocess.run(command, env=environment(), capture_output=True, encoding="utf-8", timeout=600, check=False)
    assert result.returncode == 2
    assert "no such folder" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
