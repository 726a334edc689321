"""Contrastive encoders of slices: two slices that belong together are alike, two that do not are not.

PolyCL of Wang et al. 2026 (arXiv 2505.19208). The network is the descending half of this package's 2-D U-Net, so that a
segmentation can begin with its weights.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from monai.networks.blocks import ResidualUnit
from torch import Tensor, nn
from torch.nn import functional as F

from xssr_strategy.embedding.augmentation import crops
from xssr_strategy.embedding.encoder import (
    Encoder,
    TrainedEncoder,
    TrainingBatch,
    TrainingSettings,
    register,
)
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.slices import slices_input

# Our choice but for the loss, whose temperature could not be found.
CHANNELS, STRIDES = (16, 32, 64, 128, 256), (2, 2, 2, 2, 1)
SIDE = 128  # of a slice, in pixels
SLICES = 9  # of a volume
TEMPERATURE = 0.5

Rule = Literal["scan", "organ", "mixed"]
"""Which slices belong together: those of a scan; those that hold the organ, and those that do not; both at once."""

_SLICES_IN_MEMORY = 144  # of a batch of the pool


class PolyCL(TrainedEncoder):
    """Slices that belong together are drawn together, and others pushed apart.

    Of a picture two parts are such slices, if no other picture of its scan or patient is in the batch.

    The vector of a volume is the mean over its slices.

    Args:
        in_channels: image channels.
        slices: of a volume that are looked at; 1 for pictures.
        rule: what belongs together. By ``scan`` it learns without labels.

    >>> import torch
    >>> encoder = PolyCL(in_channels=1, slices=3)
    >>> encoder.encode(torch.zeros(2, 3, 1, 32, 32)).shape  # two volumes
    torch.Size([2, 256])
    """

    def __init__(self, in_channels: int, slices: int, rule: Rule = "scan") -> None:
        super().__init__()
        self.dim, self._slices, self._rule = CHANNELS[-1], slices, rule
        self.slices = 0 if rule == "scan" else slices
        self.tells_scans = rule != "organ"
        self.batch_size = min(Encoder.batch_size, max(1, _SLICES_IN_MEMORY // slices))
        widths = itertools.pairwise((in_channels, *CHANNELS))
        self.stages = nn.Sequential(
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

    def training_loss(self, batch: TrainingBatch, settings: TrainingSettings) -> Tensor:
        """As :class:`TrainedEncoder`: of a slice of each image, one that belongs to it, and one that does not.

        0 of a batch in which no slice has both.
        """
        drawn = drawn_examples(batch.scans, self._slices, self._rule, batch.organ)
        if not drawn.shape[1]:
            return 0.0 * torch.stack([weight.sum() for weight in self.parameters()]).sum()  # nothing to learn from
        pictures = batch.images.flatten(end_dim=1)[drawn.flatten()]
        vectors = self.projection(self._features(crops(pictures)))
        return contrastive_loss(*vectors.unflatten(0, drawn.shape))

    def _features(self, pictures: Tensor) -> Tensor:
        """(N, C, rows, columns) -> (N, dim)."""
        features: Tensor = self.stages(pictures)  # in [0, 1], as the U-Net sees images
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


def drawn_examples(scans: Tensor, slices: int, rule: Rule, organ: Tensor | None = None) -> Tensor:
    """Draw a slice of each image, one that belongs to it and one that does not, all of the same batch.

    A slice of which nobody knows what it holds is not drawn where that counts. An image is left out if the batch holds
    no such two for its slice. A picture belongs to itself where the batch holds no other of its scan.

    Args:
        scans: int64 (B,), the same number for images of one scan or patient, and for the same image.
        slices: of each image.
        rule: what belongs together. ``organ``: slices that hold it, and slices that do not, of whatever scan.
            ``mixed``: of the same scan and both with the organ or both without; against those of other scans that
            are otherwise.
        organ: (B, slices) of ``TrainingBatch``.

    Returns:
        int64 (3, n): anchors, positives and negatives, as places among the B x slices slices of the batch.

    >>> import torch
    >>> anchors, positives, negatives = drawn_examples(torch.tensor([7, 8]), 3, "scan")
    >>> (anchors // 3).tolist(), (positives // 3).tolist(), (negatives // 3).tolist()
    ([0, 1], [0, 1], [1, 0])
    """
    scan = scans.repeat_interleave(slices)
    holds = torch.full_like(scan, -1) if organ is None else organ.flatten().to(scan)
    known = holds >= 0
    starts = known if rule != "scan" else torch.ones_like(known)
    chances = starts.view(-1, slices).float()
    images = torch.nonzero(chances.any(dim=1)).squeeze(1)
    if not len(images):
        return torch.zeros(3, 0, dtype=torch.int64)
    anchors = images * slices + torch.multinomial(chances[images], 1).squeeze(1)
    same_scan, same_kind = scan[anchors, None] == scan, (holds[anchors, None] == holds) & known
    another = torch.arange(len(scan)) != anchors[:, None]
    positive = {"scan": same_scan, "organ": same_kind, "mixed": same_scan & same_kind}[rule]
    if slices == 1:
        another = another | ~(positive & another).any(dim=1, keepdim=True)
    positive = positive & another
    other_kind = ~same_kind & known
    negative = {"scan": ~same_scan, "organ": other_kind, "mixed": ~same_scan & other_kind}[rule]
    both = positive.any(dim=1) & negative.any(dim=1)
    if not both.any():
        return torch.zeros(3, 0, dtype=torch.int64)
    drawn = [torch.multinomial(allowed[both].float(), 1).squeeze(1) for allowed in (positive, negative)]
    return torch.stack([anchors[both], *drawn])


def _registered(rule: Rule, preset: Preset) -> Encoder:
    return PolyCL(preset.channels, SLICES if preset.spatial_dims == 3 else 1, rule)


poly_cl = register("poly_cl", {"scans"})(partial(_registered, "scan"))
poly_cl_organ = register("poly_cl_organ", {"labels"})(partial(_registered, "organ"))
poly_cl_mixed = register("poly_cl_mixed", {"labels", "scans"})(partial(_registered, "mixed"))
