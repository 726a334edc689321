"""A convolutional masked autoencoder, the encoder of XSSR, for 2-D and 3-D alike."""

from __future__ import annotations

import itertools

from monai.networks.blocks import Convolution, ResidualUnit, SubpixelUpsample
from torch import Tensor, nn
from torch.nn import functional as F

from xssr_strategy.embedding.encoder import Encoder, MaskedAutoencoder, normalised, register
from xssr_strategy.embedding.masking import masked_mse, random_patch_mask, to_pixels
from xssr_strategy.images.preset import Preset

_NORM = ("group", {"num_groups": 8})
_ACT = "gelu"


class ConvMAE(MaskedAutoencoder):
    """Residual stages that halve the side, a light decoder that doubles it again.

    Hidden patches are set to mid-grey, encoded by ordinary convolutions and reconstructed; the loss
    is taken on hidden pixels only. The embedding is the global average of the last feature map, or with cells its
    averages over a grid, which keep where a feature is. The paper names a convolutional MAE but not its layers: widths
    and depth are our choice.

    Args:
        spatial_dims: 2 or 3.
        in_channels: image channels.
        channels: feature maps per stage; the embedding has the last of them for each cell.
        patch: side of a hidden patch in pixels; the image side must be a multiple of it.
        cells: of the grid along each axis.

    >>> import torch
    >>> from xssr_strategy.embedding.conv_mae import ConvMAE
    >>> encoder = ConvMAE(spatial_dims=3, in_channels=1, channels=(8, 16), patch=4)
    >>> encoder.encode(torch.zeros(2, 1, 8, 8, 8)).shape  # two volumes
    torch.Size([2, 16])
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, channels: tuple[int, ...], patch: int, cells: int = 1
    ) -> None:
        super().__init__()
        self.patch, self.cells = patch, cells
        self.dim = channels[-1] * cells**spatial_dims
        widths = (in_channels, *channels)
        self.encoder = nn.Sequential(
            *(
                ResidualUnit(spatial_dims, before, after, strides=2, subunits=2, norm=_NORM, act=_ACT)
                for before, after in itertools.pairwise(widths)
            )
        )
        upwards = tuple(reversed(channels[1:]))
        self.decoder = nn.Sequential(
            *(
                Convolution(spatial_dims, before, after, strides=2, is_transposed=True, norm=_NORM, act=_ACT)
                for before, after in itertools.pairwise(upwards)
            ),
            # From a quarter of the side at once: the last two stages would cost more than all others.
            SubpixelUpsample(spatial_dims, upwards[-1], in_channels, scale_factor=4, apply_pad_pool=False),
        )

    def encode(self, images: Tensor) -> Tensor:
        features: Tensor = self.encoder(normalised(images))
        if self.cells == 1:
            return features.flatten(start_dim=2).mean(dim=2)
        averages = F.adaptive_avg_pool2d if features.ndim == 4 else F.adaptive_avg_pool3d
        return averages(features, self.cells).flatten(start_dim=1)

    def masked_loss(self, images: Tensor, mask_ratio: float) -> Tensor:
        target = normalised(images)
        grid = [side // self.patch for side in images.shape[2:]]
        hidden = to_pixels(random_patch_mask(len(images), grid, mask_ratio, images.device), self.patch)
        return masked_mse(self.decoder(self.encoder(target * ~hidden)), target, hidden)


@register("conv_mae")
def conv_mae(preset: Preset) -> Encoder:
    """The default encoder, sized by the preset."""
    return ConvMAE(preset.spatial_dims, preset.channels, preset.encoder_channels, preset.encoder_patch)


@register("conv_mae_cells")
def conv_mae_cells(preset: Preset) -> Encoder:
    """The same network, whose vector tells where in the image a feature is; its vectors are 8 or 16 times as long."""
    cells = 4 if preset.spatial_dims == 2 else 2
    return ConvMAE(preset.spatial_dims, preset.channels, preset.encoder_channels, preset.encoder_patch, cells)
