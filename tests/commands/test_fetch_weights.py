"""``xssr fetch-weights``: what is asked of Hugging Face, and what is said when it does not come."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from tests.support.commands import run
from tests.support.sam2 import tiny_network, write_weights
from xssr_strategy.commands.fetch_weights import weights_folder


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def test_weights_come_into_the_users_folder_and_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, asked = write_weights(tiny_network(), tmp_path / "given"), []

    def download(repository: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.append((repository, Path(local_dir), allow_patterns))
        shutil.copytree(given, local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    status, printed = run(capsys, "fetch-weights", "sam2.1-tiny")
    folder = weights_folder("sam2.1-tiny")
    assert status == 0, printed
    assert "about 156 MB, licence Apache-2.0" in printed
    assert f"--conf sam_weights {folder}" in printed
    assert asked == [("facebook/sam2.1-hiera-tiny", folder, ["config.json", "model.safetensors", "*processor*.json"])]

    (tmp_path / "given" / "model.safetensors").write_bytes(b"half of it")
    status, printed = run(capsys, "fetch-weights", "sam2.1-tiny", "--out", tmp_path / "cut")
    assert (status, "is cut or damaged" in printed) == (2, True)


def test_without_a_network_it_is_said_where_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    status, printed = run(capsys, "fetch-weights", "sam2.1-small", "--out", tmp_path / "weights")
    assert status == 2
    assert "cannot be fetched (ConnectionError); try again, or fetch config.json, model.safetensors" in printed
    assert "https://huggingface.co/facebook/sam2.1-hiera-small" in printed
    assert "Traceback" not in printed
