"""A scoring process that goes through one round after another: MONAI Label's own, with its imports done once."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.harness import APP, environment


class Scorer:
    """A context manager; the process shares nothing with the server but the files of the project."""

    def __init__(self, studies: Path, conf: Mapping[str, object], log: Path) -> None:
        self._environment = {
            **environment(),
            "MONAI_LABEL_APP_DIR": str(APP),
            "MONAI_LABEL_STUDIES": str(studies),
            "MONAI_LABEL_APP_CONF": json.dumps({key: str(value) for key, value in conf.items()}),
        }
        self._log = log

    def __enter__(self) -> Scorer:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.scorer"],
                cwd=Path(__file__).parents[2],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def score(self, method: str) -> None:
        """One round of a scoring method, to its end."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        print(method, file=asked, flush=True)
        if (answer := answers.readline()) != "scored\n":
            raise RuntimeError(f"the scoring process answered {answer!r}; see {self._log}")


def _go_on() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    from monailabel.interfaces.utils.app import app_instance

    app = app_instance()
    for line in sys.stdin:
        datastore = app.datastore()
        datastore.refresh()
        app.scoring({"method": line.strip()}, datastore)
        _give_back_freed_memory()
        print("scored", file=answers, flush=True)


def _give_back_freed_memory() -> None:
    """What is still resident afterwards is in use; else the gaps that glibc keeps look like a leak of 50 MB."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    _go_on()
