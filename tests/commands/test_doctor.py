"""``xssr doctor``: what is there is named, what is not comes with a remedy."""

from __future__ import annotations

import importlib.metadata

import pytest

from xssr_strategy.cli import main
from xssr_strategy.commands import doctor


@pytest.fixture
def torchvision_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a process of its own that imports it."""
    monkeypatch.setattr(doctor, "_torchvision", lambda server: doctor.Finding("torchvision", True, "", ""))


@pytest.mark.slow
def test_the_report_names_every_part(capsys) -> None:
    assert main(["doctor"]) == 0  # the test environment has all that a server needs
    printed = capsys.readouterr().out
    for part in ("PyTorch", "GPU", "MONAI Label", "dcmqi", "OHIF", "Chromium", "Orthanc"):
        assert part in printed
    assert importlib.metadata.version("monailabel") in printed


@pytest.mark.usefixtures("torchvision_works")
def test_what_is_missing_comes_with_a_remedy(monkeypatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    findings = {finding.part: finding for finding in doctor.examine()}
    assert not findings["MONAI Label"].found
    assert "xssr-strategy[server]" in findings["MONAI Label"].remedy
    assert "apt-get install chromium" in findings["Chromium"].remedy
    assert not findings["pydicom below 3"].found


@pytest.mark.usefixtures("torchvision_works")
@pytest.mark.parametrize(("version", "good"), [("2.4.5", True), ("3.0.1", False)])
def test_pydicom_3_is_found_out(monkeypatch, version: str, good: bool) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: version)
    assert {f.part: f for f in doctor.examine()}["pydicom below 3"].found is good


def test_status_is_1_when_a_needed_part_is_missing(monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        doctor, "examine", lambda: [doctor.Finding("MONAI Label", False, "", "install it", needed=True)]
    )
    assert main(["doctor"]) == 1
    assert "install it" in capsys.readouterr().out
