"""``xssr doctor``: what is there is named, what is not comes with a remedy."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from tests.support.sam2 import tiny_network, write_weights
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
    assert not next(finding for part, finding in findings.items() if part.startswith("pydicom")).found


@pytest.mark.usefixtures("torchvision_works")
@pytest.mark.parametrize(
    ("requires", "version", "part", "good"),
    [
        ("pydicom-seg>=0.4.1", "2.4.5", "pydicom below 3", True),
        ("pydicom-seg>=0.4.1", "3.0.2", "pydicom below 3", False),
        ("pydicom>=3.0.1", "3.0.2", "pydicom 3", True),
        ("pydicom>=3.0.1", "2.4.5", "pydicom 3", False),
    ],
)
def test_a_pydicom_that_does_not_fit_monai_label_is_found_out(monkeypatch, requires, version, part, good) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: version)
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda package: ["monai>=1.4", requires])
    assert {f.part: f for f in doctor.examine()}[part].found is good


def test_status_is_1_when_a_needed_part_is_missing(monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        doctor, "examine", lambda *_: [doctor.Finding("MONAI Label", False, "", "install it", needed=True)]
    )
    assert main(["doctor"]) == 1
    assert "install it" in capsys.readouterr().out


@pytest.mark.usefixtures("torchvision_works")
def test_weights_of_sam_2_are_there_or_not_or_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def found(folder: Path | None = None) -> doctor.Finding:
        return next(finding for finding in doctor.examine(folder) if finding.part == "SAM 2 weights")

    assert (found().found, found().what) == (False, "")
    assert "xssr fetch-weights NAME, of sam2.1-tiny (156 MB), sam2.1-small (184 MB)" in found().remedy
    folder = write_weights(tiny_network(), tmp_path / "xssr" / "weights" / "sam2.1-small")
    assert found().found
    assert found().what == f"{folder}, 5 MB, sees 128 x 128 pixels"
    (folder / "model.safetensors").write_bytes(b"half of it")
    assert not found().found
    assert "is cut or damaged" in found().what
    assert "config.json is missing" in found(tmp_path / "elsewhere").what
