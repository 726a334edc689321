from __future__ import annotations

import pytest
import torch

from xssr_strategy.segmentation.network import build_loss, build_unet, likeliest, side_multiple


@pytest.mark.parametrize(
    ("dims", "channels", "classes", "shape"), [(2, 1, 2, (32, 48)), (2, 3, 4, (64, 64)), (3, 1, 3, (8, 24, 40))]
)
def test_logits_have_the_shape_of_the_image(dims: int, channels: int, classes: int, shape: tuple[int, ...]) -> None:
    assert all(side % side_multiple(dims) == 0 for side in shape)
    network = build_unet(dims, channels, classes)
    assert network(torch.rand(2, channels, *shape)).shape == (2, classes, *shape)


def test_network_fits_two_cores() -> None:
    for dims in (2, 3):
        assert sum(weights.numel() for weights in build_unet(dims, 1, 2).parameters()) < 2_000_000


def test_loss_is_low_for_the_truth_and_high_for_its_opposite() -> None:
    label = torch.zeros(2, 1, 8, 8)
    label[:, :, 2:5, 2:5] = 1
    truth = 20.0 * torch.cat([1 - 2 * label, 2 * label - 1], dim=1)
    loss = build_loss()
    assert loss(truth, label) < 1e-3
    assert loss(-truth, label) > 10


def test_loss_of_an_empty_label_is_finite_and_has_a_gradient() -> None:
    logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
    build_loss()(logits, torch.zeros(1, 1, 8, 8)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


def test_likeliest_class_is_the_argmax_with_equal_logits_too() -> None:
    logits = torch.randint(0, 3, (2, 4, 9, 8, 7), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(likeliest(logits, 1), logits.argmax(1))
    assert torch.equal(likeliest(logits[0], keepdim=True), logits[0].argmax(0, keepdim=True))
