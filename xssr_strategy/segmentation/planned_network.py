"""The network of a plan: the U-Net, or one around the encoder of a masked autoencoder."""

from __future__ import annotations

import itertools

import torch
from monai.networks.blocks import ResidualUnit
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn

from xssr_strategy.segmentation.network import build_unet
from xssr_strategy.segmentation.plan import SegmentationPlan


def build_network(plan: SegmentationPlan) -> nn.Module:
    """From (B, channels, *roi) to logits (B, labels + 1, *roi), with weights from torch's global generator.

    Weights of three dimensions lie channels last, with which a processor trains a fifth faster; two gain nothing by it.
    """
    classes = len(plan.labels) + 1
    if plan.widths:
        network: nn.Module = EncoderUNet(plan.network_dims, plan.channels, classes, plan.widths)
    else:
        network = build_unet(plan.network_dims, plan.channels, classes)
    if plan.network_dims == 3:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch does not tell of it
    return network


class EncoderUNet(nn.Module):
    """A U-Net whose descending half has the layers of the convolutional masked autoencoder's encoder.

    The ascending half is MONAI's of ``BasicUNet``; at full resolution it is joined with the image itself.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: labels + 1; channel 0 is the background.
        widths: feature maps of each stage of the encoder, multiples of 8; each halves the sides.

    Attributes:
        stages: the descending half, which sees grey values in [-1, 1].

    >>> import torch
    >>> EncoderUNet(2, in_channels=1, out_channels=3, widths=(8, 16))(torch.zeros(2, 1, 32, 24)).shape
    torch.Size([2, 3, 32, 24])
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            ResidualUnit(
                spatial_dims, before, after, strides=2, subunits=2, norm=("group", {"num_groups": 8}), act="gelu"
            )
            for before, after in itertools.pairwise((in_channels, *widths))
        )
        upwards = (*reversed(widths), widths[0] // 2)
        skips = (*reversed(widths[:-1]), in_channels)
        self.ascending = nn.ModuleList(
            UpCat(spatial_dims, before, skip, after, act="PRELU", norm="INSTANCE", bias=True)
            for (before, after), skip in zip(itertools.pairwise(upwards), skips, strict=True)
        )
        self.head = (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(upwards[-1], out_channels, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_channels, *spatial) in [0, 1] -> logits (B, out_channels, *spatial)."""
        seen = [2.0 * images - 1.0]
        for stage in self.stages:
            seen.append(stage(seen[-1]))
        found = seen.pop()
        for ascend, skip in zip(self.ascending, reversed(seen), strict=True):
            found = ascend(found, skip)
        logits: Tensor = torch.as_tensor(self.head(found))
        return logits
