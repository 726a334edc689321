"""A command in this process, and the CSV files that commands write."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from xssr_strategy.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    status = main([str(word) for word in words])
    return status, capsys.readouterr().out


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
