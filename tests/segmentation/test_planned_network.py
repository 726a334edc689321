from __future__ import annotations

import torch

from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.planned_network import build_network


def test_weights_of_volumes_lie_channels_last_and_give_the_same_logits() -> None:
    network = build_network(SegmentationPlan("mri", 3, 1, ("a", "b"), (1.0, 1.0, 1.0), (32, 24, 16))).eval()
    as_they_come = build_unet(3, 1, 3).eval()
    as_they_come.load_state_dict(network.state_dict())
    kernels = [weights for weights in network.parameters() if weights.ndim == 5]
    assert kernels
    assert all(weights.is_contiguous(memory_format=torch.channels_last_3d) for weights in kernels)
    images = torch.rand(2, 1, 32, 24, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(images), as_they_come(images), rtol=1e-4, atol=1e-4)
