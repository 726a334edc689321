"""What the tests with real viewers need beside Python: ``python tests/e2e/requirements.py`` names what is missing.

Nothing is imported from the project, so that it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")


def browser() -> str | None:
    """A Chromium, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def orthanc() -> str | None:
    """The archive's program, or None."""
    return shutil.which("Orthanc", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


def dicomweb_plugin() -> Path | None:
    """Orthanc's DICOMweb plugin, or None."""
    files = (Path(folder) / "libOrthancDicomWeb.so" for folder in PLUGIN_FOLDERS)
    return next((file for file in files if file.exists()), None)


def missing() -> list[str]:
    """Debian's packages that have to be installed."""
    parts = {"chromium": browser(), "orthanc": orthanc(), "orthanc-dicomweb": dicomweb_plugin()}
    return [package for package, found in parts.items() if found is None]


def sentence() -> str:
    """What to do about what is missing; empty if nothing is."""
    packages = missing()
    return f"missing for the tests with real viewers: apt-get install {' '.join(packages)}" if packages else ""


if __name__ == "__main__":
    if "--packages" in sys.argv:
        print(" ".join(missing()))
    elif sentence():
        sys.exit(sentence())
