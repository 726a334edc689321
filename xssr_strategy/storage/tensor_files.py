"""Files of tensors."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xssr_strategy.storage.atomic_files import write_atomic


def save_tensors(state: Mapping[str, Any], file: Path) -> None:
    """``torch.save``, whole or not at all.

    Raises:
        OSError: the disk is full or cannot be written. Told to write a file itself, ``torch.save`` raises a
            RuntimeError for that, which says nothing of the disk.
    """
    content = io.BytesIO()
    torch.save(dict(state), content)
    write_atomic(file, content.getbuffer())
