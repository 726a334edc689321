"""``xssr doctor``: what is there, what is not, and what to do about it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xssr_strategy.commands.fetch_weights import KNOWN, weights_folder
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.sam2 import INSTALL, check_weights

_ORTHANC_PLUGIN = "libOrthancDicomWeb.so"
_PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")


@dataclass(frozen=True)
class Finding:
    """One row of the report: ``needed`` parts make the command fail when they are missing."""

    part: str
    found: bool
    what: str
    remedy: str
    needed: bool = False


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("doctor", help="say what is installed and what to do about what is not")
    parser.add_argument("--sam-weights", type=Path, help="folder of SAM 2's weights to look at")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the report; 1 if a part is missing without which the server does not start."""
    findings = examine(arguments.sam_weights)
    table = Table(title="xssr doctor", title_justify="left")
    for column in ("part", "", "what is there", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        mark = "[green]ok[/]" if finding.found else "[red]missing[/]" if finding.needed else "[yellow]absent[/]"
        remedy = "" if finding.found else escape(finding.remedy)
        table.add_row(finding.part, mark, escape(finding.what), remedy)
    console.print(table)
    return int(any(finding.needed and not finding.found for finding in findings))


def examine(sam_weights: Path | None = None) -> list[Finding]:
    """Look at this environment.

    Args:
        sam_weights: folder of SAM 2's weights; by default where ``xssr fetch-weights`` puts them.
    """
    server = "pip install 'xssr-strategy[server]'"
    return [
        Finding("Python", True, platform.python_version(), ""),
        _package("PyTorch", "torch", "pip install xssr-strategy", needed=True),
        _gpu(),
        _package("MONAI", "monai", "pip install xssr-strategy", needed=True),
        _package("MONAI Label", "monailabel", server, needed=True),
        _pydicom(server),
        _torchvision(server),
        _dcmqi(server),
        _ohif(server),
        _program(
            "Chromium",
            ("chromium", "chromium-browser", "google-chrome"),
            "only for the viewer tests: apt-get install chromium",
        ),
        _orthanc(),
        _package("timm", "timm", "only for the encoders dinov2 and timm:NAME: pip install 'xssr-strategy[foundation]'"),
        _package("transformers", "transformers", f"only for SAM 2: {INSTALL}"),
        _sam2_weights(sam_weights),
        _package("Ray", "ray", "only for xssr simulate --ray: pip install 'xssr-strategy[ray]'"),
    ]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(part: str, package: str, remedy: str, needed: bool = False) -> Finding:
    version = _version(package)
    return Finding(part, version is not None, version or "", remedy, needed)


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", True, torch.cuda.get_device_name(0), "")
    return Finding(
        "GPU", False, f"none, {torch.get_num_threads()} CPU threads", "not needed; training is slower without"
    )


def _pydicom(remedy: str) -> Finding:
    """MONAI Label 0.8.5 is built on pydicom-seg, which needs pydicom 2; what comes after it needs pydicom 3."""
    version = _version("pydicom")
    part = "pydicom below 3" if _is_built_on("monailabel", "pydicom-seg") else "pydicom 3"
    good = version is not None and (int(version.split(".")[0]) < 3) == (part == "pydicom below 3")
    return Finding(part, good, version or "", f"MONAI Label needs it: {remedy}", needed=True)


def _is_built_on(package: str, other: str) -> bool:
    """Whether the package declares that it needs the other one; True where it is not installed."""
    try:
        return any(line.startswith(other) for line in importlib.metadata.requires(package) or ())
    except importlib.metadata.PackageNotFoundError:
        return True


def _torchvision(remedy: str) -> Finding:
    """Imported for real: a torch of another build breaks it."""
    program = "import torchvision; print(torchvision.__version__)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    lines = (result.stdout if result.returncode == 0 else result.stderr).strip().splitlines() or [""]
    return Finding(
        "torchvision",
        result.returncode == 0,
        lines[-1],
        f"install torch and torchvision together: {remedy}",
        needed=True,
    )


def _dcmqi(remedy: str) -> Finding:
    beside = Path(sys.executable).parent / "itkimage2segimage"
    found = str(beside) if beside.exists() else shutil.which("itkimage2segimage") or ""
    return Finding("dcmqi", bool(found), found, f"only for DICOMweb archives: {remedy}")


def _ohif(remedy: str) -> Finding:
    spec = importlib.util.find_spec("monailabel")
    page = Path(spec.origin).parent / "endpoints/static/ohif/index.html" if spec and spec.origin else None
    found = page is not None and page.exists()
    return Finding("OHIF viewer", found, "served at /ohif/ for DICOMweb archives" if found else "", remedy)


def _sam2_weights(named: Path | None) -> Finding:
    folders = [named] if named else [weights_folder(name) for name in KNOWN]
    there = next((folder for folder in folders if folder.is_dir()), folders[0])
    sizes = ", ".join(f"{name} ({weights.megabytes} MB)" for name, weights in KNOWN.items())
    remedy = f"only for propagation and refinement by SAM 2: xssr fetch-weights NAME, of {sizes}"
    try:
        side = check_weights(there)
    except UserError as error:
        return Finding("SAM 2 weights", False, str(error) if there.is_dir() or named else "", remedy)
    megabytes = (there / "model.safetensors").stat().st_size / 1e6
    return Finding("SAM 2 weights", True, f"{there}, {megabytes:.0f} MB, sees {side} x {side} pixels", "")


def _program(part: str, names: tuple[str, ...], remedy: str) -> Finding:
    path = next((found for name in names if (found := shutil.which(name))), None)
    return Finding(part, path is not None, path or "", remedy)


def _orthanc() -> Finding:
    program = _program("Orthanc", ("Orthanc", "orthanc"), "")
    plugin = any((Path(folder) / _ORTHANC_PLUGIN).exists() for folder in _PLUGIN_FOLDERS)
    what = f"{program.what}{'' if plugin else ', without the DICOMweb plugin'}" if program.found else ""
    remedy = "only to try a DICOM archive: apt-get install orthanc orthanc-dicomweb"
    return Finding("Orthanc with DICOMweb", program.found and plugin, what, remedy)
