"""The deepest features of a network: from the lowest resolution, and what segmenting the image alone gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet, UNet
from torch import Tensor, nn

from tests.support.phantoms import write_nifti, write_png
from xssr_strategy.images.preset import PRESETS
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.features import deepest_module, image_features
from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import read_for_network

CPU = torch.device("cpu")


def descent(network: UNet) -> list[nn.Module]:
    """The blocks of the descending half down to the lowest, as MONAI nests them."""
    blocks: list[nn.Module] = []
    block: Any = network.model
    while isinstance(block, nn.Sequential) and hasattr(block[1], "submodule"):
        blocks.append(block[0])
        block = block[1].submodule
    return [*blocks, block]


@torch.inference_mode()
def lowest(network: UNet, image: Tensor) -> list[float]:
    """Mean of the lowest feature map of one image (1, C, *spatial)."""
    for block in descent(network):
        image = block(image)
    mean: list[float] = image.flatten(2).mean(dim=2)[0].tolist()
    return mean


@pytest.mark.parametrize(("dims", "side"), [(2, 64), (2, 32), (3, 32), (3, 16)])
def test_the_deepest_module_of_a_unet_is_its_lowest_block(dims: int, side: int) -> None:
    network = build_unet(dims, 1, 3).eval()
    found = deepest_module(network, torch.zeros(1, 1, *(side,) * dims))
    assert found is descent(network)[-1]


def test_the_deepest_module_of_another_network_has_the_fewest_positions() -> None:
    network = BasicUNet(spatial_dims=2, features=(8, 8, 16, 16, 32, 8)).eval()
    assert deepest_module(network, torch.zeros(1, 1, 32, 32)) in set(network.down_4.modules())
    assert not any(module._forward_hooks for module in network.modules())


def test_features_of_a_picture_are_the_mean_of_its_lowest_feature_map(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = {
        f"x{i}": write_png(tmp_path / f"x{i}.png", rng.integers(0, 255, (50, 40), dtype=np.uint8)) for i in range(3)
    }
    (tmp_path / "broken.png").write_bytes(b"no picture")
    torch.manual_seed(0)
    preset, plan = PRESETS["xray"], SegmentationPlan("xray", 2, 1, ("lung",), (), (64, 64))
    network = build_unet(2, 1, 2).eval()
    found = dict(image_features({**files, "broken": tmp_path / "broken.png"}, network, plan, preset, CPU))
    assert isinstance(found.pop("broken"), UnreadableImage)
    assert list(found) == list(files)
    for name, values in found.items():
        assert not isinstance(values, UnreadableImage)
        image = read_for_network(files[name], preset, plan)[0]
        np.testing.assert_allclose(values, lowest(network, image[None]), rtol=1e-4, atol=1e-5)
    assert len(set(found.values())) == 3


def test_windows_of_a_volume_count_alike(tmp_path: Path) -> None:
    file = write_nifti(
        tmp_path / "x.nii.gz", np.random.default_rng(1).random((40, 16, 16)).astype(np.float32), np.eye(4)
    )
    plan = SegmentationPlan("mri", 3, 1, ("organ",), (1.0, 1.0, 1.0), (16, 16, 16))
    torch.manual_seed(0)
    network = build_unet(3, 1, 2).eval()
    values = dict(image_features({"x": file}, network, plan, PRESETS["mri"], CPU))["x"]
    assert not isinstance(values, UnreadableImage)
    x = read_for_network(file, PRESETS["mri"], plan)[0]
    starts = (0, 8, 16, 24)  # windows overlap by half
    each = [lowest(network, x[None, :, start : start + 16]) for start in starts]
    np.testing.assert_allclose(values, np.mean(each, axis=0), rtol=1e-4, atol=1e-5)
