"""MONAI's masked autoencoder with a vision transformer, as an alternative encoder."""

from __future__ import annotations

from monai.networks.nets import MaskedAutoEncoderViT
from torch import Tensor

from xssr_strategy.embedding.encoder import Encoder, MaskedAutoencoder, normalised, register
from xssr_strategy.images.preset import Preset


class VitMAE(MaskedAutoencoder):
    """``MaskedAutoEncoderViT`` with a loss and an ``encode``; far smaller than the paper's ViT-L.

    Width 192, 6 layers and 6 heads (our choice) suit the hundred or so images of a source domain.
    The embedding is the mean of the patch tokens after the last block.

    >>> import torch
    >>> from xssr_strategy.embedding.vit_mae import VitMAE
    >>> encoder = VitMAE(spatial_dims=2, in_channels=1, size=32, patch=8)
    >>> encoder.encode(torch.zeros(2, 1, 32, 32)).shape  # two images
    torch.Size([2, 192])
    """

    def __init__(self, spatial_dims: int, in_channels: int, size: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.dim = 192
        self.network = MaskedAutoEncoderViT(
            in_channels=in_channels,
            img_size=size,
            patch_size=patch,
            spatial_dims=spatial_dims,
            hidden_size=self.dim,
            mlp_dim=4 * self.dim,
            num_layers=6,
            num_heads=6,
            decoder_hidden_size=96,
            decoder_mlp_dim=384,
            decoder_num_layers=2,
            decoder_num_heads=6,
        )

    def encode(self, images: Tensor) -> Tensor:
        tokens = self.network.patch_embedding(normalised(images))
        return self.network.blocks(tokens).mean(dim=1)

    def masked_loss(self, images: Tensor, mask_ratio: float) -> Tensor:
        target = self._patches(normalised(images))
        prediction, mask = self.network(normalised(images), masking_ratio=mask_ratio)
        error = (prediction - target).square().mean(dim=2) * mask
        return error.sum() / mask.sum()

    def _patches(self, images: Tensor) -> Tensor:
        """(B, C, *size) -> (B, patches, C * patch ** dims), patches in the row-major order of the tokens."""
        dims = images.ndim - 2
        for axis in range(2, 2 + dims):
            images = images.unfold(axis, self.patch, self.patch)
        # (B, C, *grid, *patch) -> (B, *grid, C, *patch)
        return images.movedim(1, 1 + dims).flatten(start_dim=1, end_dim=dims).flatten(start_dim=2)


@register("vit_mae")
def vit_mae(preset: Preset) -> Encoder:
    """The transformer, at the preset's image and patch size."""
    return VitMAE(preset.spatial_dims, preset.channels, preset.encoder_size, preset.encoder_patch)
