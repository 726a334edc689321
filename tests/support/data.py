"""Real images for tests and benchmarks, where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"

MONTGOMERY = DATA / "cxr-lung" / "montgomery"
SHENZHEN = DATA / "cxr-lung" / "shenzhen"
PROSTATE_SLICES = DATA / "prostate-slices"
HIPPOCAMPUS = DATA / "hippocampus"
DICOM = DATA / "dicom"


def need(folder: Path) -> Path:
    """The folder; without it the test is skipped, but on the build server it fails."""
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder.name}: the real images are missing, and on the build server they must be there")
        pytest.skip(f"{folder.name}: real images are not here")
    return folder


def held_out(domain: Path) -> list[str]:
    """Ids that are never in a pool."""
    return (domain / "test.txt").read_text().split()
