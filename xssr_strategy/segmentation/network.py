"""The segmentation network and its loss."""

from __future__ import annotations

from monai.losses import DiceCELoss
from monai.networks.nets import UNet

# Our choice: about a million weights, so that two CPU cores train it in minutes; each stage halves the resolution.
CHANNELS: dict[int, tuple[int, ...]] = {2: (16, 32, 64, 128, 256), 3: (16, 32, 64, 128)}
RESIDUAL_UNITS = 2


def side_multiple(spatial_dims: int) -> int:
    """The sides of what the network sees are multiples of it: every stage but the first halves them."""
    return 2 ** (len(CHANNELS[spatial_dims]) - 1)


def build_unet(spatial_dims: int, in_channels: int, out_channels: int) -> UNet:
    """Residual U-Net with instance normalisation (Kerfoot et al. 2018, doi 10.1007/978-3-030-12029-0_40).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: labels + 1; channel 0 is the background.

    Returns:
        Network from (B, in_channels, *spatial) to logits (B, out_channels, *spatial); each spatial side has to be
        a multiple of ``side_multiple``.
    """
    channels = CHANNELS[spatial_dims]
    return UNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=channels,
        strides=(2,) * (len(channels) - 1),
        num_res_units=RESIDUAL_UNITS,
        norm="INSTANCE",
    )


def build_loss() -> DiceCELoss:
    """Soft Dice of the labels plus cross-entropy of all classes, on softmax outputs.

    The XSSR paper trained with binary cross-entropy (known second hand). Cross-entropy is its form for any number of
    labels; the Dice term, our addition, keeps structures of a few voxels from being outvoted by the background.
    """
    return DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
