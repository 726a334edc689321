"""Files of tensors: written whole, and a disk that is full is an OSError, for which there is a sentence."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from xssr_strategy.storage.disk_errors import describe_disk_error
from xssr_strategy.storage.tensor_files import save_tensors


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    state = {"weights": torch.arange(5.0), "step": 3}
    save_tensors(state, tmp_path / "state.pt")
    read = torch.load(tmp_path / "state.pt", weights_only=True)
    assert read["step"] == 3
    assert torch.equal(read["weights"], state["weights"])


def test_where_there_is_no_room_the_file_of_before_stays(tmp_path: Path) -> None:
    file = tmp_path / "state.pt"
    save_tensors({"weights": torch.zeros(1)}, file)
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as raised:
            save_tensors({"weights": torch.zeros(1_000_000)}, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the disk is full; make room" in str(describe_disk_error(raised.value))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
