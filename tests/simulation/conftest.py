"""Hospitals that tests of a whole simulation share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.hospitals import TEST, hospital


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("hospitals")
    return hospital(root / "old", seed=1), hospital(root / "new", seed=2, test=TEST)


@pytest.fixture
def copies(hospitals: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Hospitals that a test may damage."""
    source, target = (Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in hospitals)
    return source, target
