"""A contrastive encoder of slices: two slices of one scan are alike, slices of two scans are not.

PolyCL-S of Wang et al. 2026 (arXiv 2505.19208), which takes no label at all. The network is the descending half of this
package's 2-D U-Net, so that a segmentation can begin with its weights.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from monai.networks.blocks import ResidualUnit
from torch import Tensor, nn
from torch.nn import functional as F

from xssr_strategy.embedding.augmentation import crops
from xssr_strategy.embedding.encoder import Encoder, TrainedEncoder, TrainingSettings, normalised, register
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.slices import slices_input

# Our choice but for the loss, whose temperature could not be found.
CHANNELS, STRIDES = (16, 32, 64, 128, 256), (2, 2, 2, 2, 1)
SIDE = 128  # of a slice, in pixels
SLICES = 9  # of a volume
TEMPERATURE = 0.5

_SLICES_IN_MEMORY = 144  # of a batch of the pool


class PolyCL(TrainedEncoder):
    """Slices of a scan, or two parts of a picture, are drawn together, and slices of other scans pushed apart.

    The vector of a volume is the mean over its slices.

    Args:
        in_channels: image channels.
        slices: of a volume that are looked at; 1 for pictures.

    >>> import torch
    >>> encoder = PolyCL(in_channels=1, slices=3)
    >>> encoder.encode(torch.zeros(2, 3, 1, 32, 32)).shape  # two volumes
    torch.Size([2, 256])
    """

    def __init__(self, in_channels: int, slices: int) -> None:
        super().__init__()
        self.dim, self._slices = CHANNELS[-1], slices
        self.batch_size = min(Encoder.batch_size, max(1, _SLICES_IN_MEMORY // slices))
        widths = itertools.pairwise((in_channels, *CHANNELS))
        self.encoder = nn.Sequential(
            *(
                ResidualUnit(2, before, after, strides=stride, subunits=2, norm="INSTANCE")
                for (before, after), stride in zip(widths, STRIDES, strict=True)
            )
        )
        # The features of an untrained network have nearly one direction: centred, they have something to be told by.
        self.projection = nn.Sequential(nn.BatchNorm1d(self.dim), nn.Linear(self.dim, self.dim))

    def input_shape(self, preset: Preset) -> tuple[int, ...]:
        """As :class:`TrainedEncoder`."""
        return (self._slices, preset.channels, SIDE, SIDE)

    def read(self, path: Path, preset: Preset) -> Tensor:
        """(S, C, rows, columns) in [0, 1]: S slices of a volume, or one picture."""
        return slices_input(path, preset, SIDE, self._slices)

    def picture(self, values: Tensor) -> Tensor:
        """The middle one of the slices, which are upright."""
        return values[len(values) // 2]

    def encode(self, images: Tensor) -> Tensor:
        """(B, S, C, rows, columns) -> (B, dim), the mean over the slices."""
        return self._features(images.flatten(end_dim=1)).unflatten(0, images.shape[:2]).mean(dim=1)

    def training_loss(self, images: Tensor, scans: Tensor, settings: TrainingSettings) -> Tensor:
        """As :class:`TrainedEncoder`: the loss of each image's slice beside another one of it, and one of another."""
        one, other = drawn_slices(images)
        rivals = drawn_rivals(scans)
        anchors, positives = (self.projection(self._features(crops(views))) for views in (one, other))
        return contrastive_loss(anchors, positives, positives[rivals])

    def _features(self, pictures: Tensor) -> Tensor:
        """(N, C, rows, columns) -> (N, dim)."""
        features: Tensor = self.encoder(normalised(pictures))
        return features.mean(dim=(2, 3))


def contrastive_loss(anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Mean of -log(e^(p/t) / (e^(p/t) + e^(n/t))), p and n being cosines of an anchor with its positive and negative.

    Args:
        anchors, positives, negatives: (B, dim).
        temperature: t.

    >>> import torch
    >>> one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(float(contrastive_loss(one, one, other, temperature=1.0)), 4)  # log(1 + 1 / e)
    0.3133
    """
    nearer = F.cosine_similarity(anchors, negatives) - F.cosine_similarity(anchors, positives)
    return F.softplus(nearer / temperature).mean()


def drawn_slices(images: Tensor) -> tuple[Tensor, Tensor]:
    """Two slices of each image (B, S, ...), different ones unless there is but one: (B, ...) both."""
    batch, slices = images.shape[:2]
    rows = torch.arange(batch)
    first = torch.randint(slices, (batch,))
    second = (first + 1 + torch.randint(max(1, slices - 1), (batch,))) % slices
    return images[rows, first], images[rows, second]


def drawn_rivals(scans: Tensor) -> Tensor:
    """int64 (B,): for each place in the batch one that holds another scan.

    Raises:
        UserError: there is but one scan.
    """
    others = (scans[:, None] != scans[None]).float()
    if not others.any(dim=1).all():
        raise UserError(
            "encoder poly_cl: needs two images at least to tell apart; add images or choose another encoder."
        )
    return torch.multinomial(others, 1).squeeze(1)


@register("poly_cl")
def poly_cl(preset: Preset) -> Encoder:
    """The contrastive encoder; of a volume it sees slices."""
    return PolyCL(preset.channels, SLICES if preset.spatial_dims == 3 else 1)
