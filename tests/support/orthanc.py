"""A real DICOM archive: Debian's Orthanc with its DICOMweb plugin, on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.e2e import requirements
from xssr_strategy.demo.server import free_port


def need_orthanc() -> tuple[str, Path]:
    """Program and plugin; without them the test is skipped, but on the build server it fails."""
    program, plugin = requirements.orthanc(), requirements.dicomweb_plugin()
    if program is None or plugin is None:
        need(False)
    assert program is not None
    assert plugin is not None
    return program, plugin


def need(there: object) -> None:
    """Skip the test if a program is not there; on the build server that is a failure."""
    if not there:
        if os.environ.get("CI"):
            pytest.fail(f"on the build server nothing may be {requirements.sentence()}")
        pytest.skip(requirements.sentence())


class Orthanc:
    """An archive in a folder of its own; it may be stopped and started again.

    Args:
        folder: for its configuration, index and files.
    """

    def __init__(self, folder: Path) -> None:
        program, plugin = need_orthanc()
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "Name": "test archive",
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "StorageDirectory": str(folder / "files"),
            "IndexDirectory": str(folder / "files"),
            "Plugins": [str(plugin)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "OverwriteInstances": True,
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        self._command = [program, str(folder / "orthanc.json")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its DICOMweb service."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def __enter__(self) -> Orthanc:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers."""
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while True:
            try:
                self.ask("/system")
                return
            except OSError:
                assert self._process.poll() is None, (self.folder / "orthanc.log").read_text()
                assert time.monotonic() < deadline, "Orthanc did not answer within five minutes"
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop; what it holds stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=300)
            self._process = None

    def ask(self, path: str, body: bytes | None = None, method: str | None = None) -> Any:
        """Orthanc's own REST interface."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=300) as answer:
            content = answer.read()
        return json.loads(content) if content.startswith((b"{", b"[")) else content

    def load(self, files: Iterable[Path]) -> None:
        """Store DICOM files."""
        for file in files:
            self.ask("/instances", file.read_bytes())

    def find(self, level: str, **query: str) -> list[str]:
        """Orthanc's ids of what matches, such as ``find("Series", Modality="SEG")``."""
        found: list[str] = self.ask("/tools/find", json.dumps({"Level": level, "Query": query}).encode())
        return found

    def delete(self, level: str, **query: str) -> None:
        """Delete what matches."""
        for one in self.find(level, **query):
            self.ask(f"/{level.lower() if level == 'Series' else 'studies'}/{one}", method="DELETE")

    def instances(self, series: str) -> list[bytes]:
        """The files of a series, by its SeriesInstanceUID."""
        (one,) = self.find("Series", SeriesInstanceUID=series)
        return [self.ask(f"/instances/{item['ID']}/file") for item in self.ask(f"/series/{one}/instances")]
