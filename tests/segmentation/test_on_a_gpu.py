"""Every training method on a GPU, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.scans import scans
from tests.support.trainings import XRAY, same
from xssr_strategy.segmentation.methods.catalogue import method_names


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", method_names())
def test_a_gpu_trains_by_it_too(name: str, tmp_path: Path) -> None:
    found, gpu = scans(tmp_path, XRAY, ("blob",)), torch.device("cuda")
    weights = found.train(name, device=gpu)
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    assert not same(weights, found.train(name, device=gpu, seed=1))
