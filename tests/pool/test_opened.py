from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.phantoms import write_png
from xssr_strategy.embedding.store import TARGET, Vector
from xssr_strategy.errors import UserError
from xssr_strategy.pool.opened import open_command_pool, open_leases, open_server_pool
from xssr_strategy.pool.studies import Studies, open_studies
from xssr_strategy.settings import parse_settings


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    for number in range(3):
        write_png(folder / f"a{number}.png", np.full((20, 24), 50 + number))
    return folder


def test_a_server_keeps_its_files_beside_the_images(studies: Path) -> None:
    opened = open_server_pool(str(studies), parse_settings({"lease_minutes": "1"}))
    assert opened.workspace.root == studies / ".xssr"
    assert opened.preset.name == "xray"
    assert list(opened.studies.images) == ["a0", "a1", "a2"]
    assert opened.leases is not None
    assert opened.leases.take("a0", "somebody") is not None
    again = open_server_pool(str(studies), parse_settings({}))
    assert again.leases is not None
    assert list(again.leases.out()) == ["a0"]
    assert opened.source_images() == {}


def test_a_command_leaves_the_studies_as_they_are_and_knows_of_a_server_that_worked_there(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = parse_settings({})
    found = open_studies(str(studies), settings)
    opened = open_command_pool(found, found.images, settings)
    assert opened.workspace.root.is_relative_to(tmp_path / "cache")
    assert opened.leases is None
    assert not (studies / ".xssr").exists()
    server = open_server_pool(str(studies), settings)
    assert server.leases is not None
    server.leases.skip("a1", "somebody", "motion")
    opened = open_command_pool(found, found.images, settings, open_leases(str(studies), settings))
    assert opened.workspace == server.workspace
    assert opened.leases is not None
    assert opened.leases.skipped() == {"a1": "motion"}
    assert open_leases(str(studies / "elsewhere"), settings) is None


def test_what_cannot_be_opened_is_one_sentence_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image is there; put images"):
        open_server_pool(str(tmp_path / "empty"), parse_settings({}))
    assert list((tmp_path / "empty").iterdir()) == []


def test_what_an_archive_does_not_give_costs_a_command_no_vector(
    studies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server sets such a series aside; a command that shares its store does not."""
    opened = open_server_pool(str(studies), parse_settings({}))
    opened.store.put(TARGET, "encoder", [Vector("a0", "present", np.ones(3, dtype=np.float32))])
    monkeypatch.setattr(Studies, "fetch", lambda self, progress: {"a0": "the archive does not give it"})
    assert opened.fetch(lambda stage, done, total: None) == {"a0": "the archive does not give it"}
    assert list(opened.store.fingerprints(TARGET, "encoder")) == ["a0"]
    assert opened.store.failures(TARGET) == {}


def test_a_folder_has_nothing_to_fetch(studies: Path) -> None:
    assert open_server_pool(str(studies), parse_settings({})).fetch(lambda stage, done, total: None) == {}
