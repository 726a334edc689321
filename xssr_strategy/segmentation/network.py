"""The segmentation network and its loss."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss, DiceLoss
from monai.networks import one_hot
from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn import functional as F

from xssr_strategy.labels.values import IGNORED

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


class LabelLoss(nn.Module):
    """Soft Dice of the labels plus cross-entropy of all classes, on softmax outputs, of the voxels that were looked at.

    The XSSR paper trained with binary cross-entropy (known second hand). Cross-entropy is its form for any number of
    labels; the Dice term, our addition, keeps structures of a few voxels from being outvoted by the background. Voxels
    that are ``IGNORED`` count in neither, as nnU-Net has it (documentation/ignore_label.md): the cross-entropy is the
    mean over the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._whole = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        self._dice = DiceLoss(include_background=False, batch=True)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, classes, *spatial) float32 logits and (B, 1, *spatial) uint8 label -> scalar; 0 if nothing was seen."""
        known, seen = without_ignored(label)
        if seen.all():
            loss: Tensor = self._whole(logits, label)
            return loss
        each = F.cross_entropy(logits, known[:, 0].long(), reduction="none") * seen[:, 0]
        found, wanted = torch.softmax(logits, dim=1) * seen, one_hot(known, logits.shape[1]) * seen
        dice: Tensor = self._dice(found, wanted)
        return each.sum() / seen.sum().clamp(min=1) + dice


def build_loss() -> LabelLoss:
    """What a labelled image is learnt by."""
    return LabelLoss()


def without_ignored(label: Tensor) -> tuple[Tensor, Tensor]:
    """Label numbers with 0 where a voxel is ignored, and where none is, as bool; both of the label's shape."""
    seen = label != IGNORED
    return label * seen, seen


def likeliest(logits: Tensor, dim: int = 0, *, keepdim: bool = False) -> Tensor:
    """int64 class of the highest logit along ``dim``: ``torch.argmax``, which takes ten times as long on a processor.

    >>> import torch
    >>> likeliest(torch.tensor([[0.0, 2.0], [1.0, 2.0]])).tolist()  # of equal ones the first
    [1, 0]
    """
    return logits.max(dim, keepdim=keepdim).indices
