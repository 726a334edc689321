"""Images whose reading ends the process, as a fault in a native library would.

No file is known that crashes the readers of every version, so Python starts with a module that lets ``Image.open``
die at names that say so.
"""

from __future__ import annotations

import os
from pathlib import Path

_SITE = """
import os, signal, time
from PIL import Image

ordinary = Image.open

def poisonous(file, *rest, **named):
    if "segfault" in str(file):
        os.kill(os.getpid(), signal.SIGSEGV)
    if "killed" in str(file):
        os.kill(os.getpid(), signal.SIGKILL)
    if "endless" in str(file):
        signal.alarm(1)  # in place of the limit that the trial has set, which a slow machine may need
        time.sleep(600)
    return ordinary(file, *rest, **named)

Image.open = poisonous
"""


def poisoned_environment(folder: Path) -> dict[str, str]:
    """What to add to the environment of a process in which a name with ``segfault``, ``killed`` or ``endless`` is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}"}
