"""Supervised training of a network whose encoder has learnt from images without a label before.

The contrastive start is PolyCL's (Wang et al. 2026, arXiv 2505.19208); that of the masked autoencoder, which XSSR has
trained for its selection anyway, is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from monai.networks.layers.simplelayers import SkipConnection
from torch import Tensor, nn

from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import Stage
from xssr_strategy.segmentation.methods.supervised import Supervised, supervised_stage
from xssr_strategy.segmentation.plan import SegmentationPlan, around_encoder, of_slices
from xssr_strategy.segmentation.planned_network import EncoderUNet


class PolyCL(Supervised):
    """The U-Net of pictures, or of a volume's slices, whose descending half begins with contrastively learnt weights.

    The ascending half begins as always, and all weights learn.
    """

    encoder: ClassVar[str | None] = "poly_cl"

    @classmethod
    def planned(cls, plan: SegmentationPlan, preset: Preset) -> SegmentationPlan:
        """As :class:`TrainingMethod`."""
        return of_slices(plan)

    def stages(self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device) -> Iterator[Stage]:
        """One stage of all steps.

        Raises:
            UserError: the data hold no weights of an encoder, or of another one.
        """
        network = self.new_network(plan, seed, torch.device("cpu"))
        if self.start is None and self.encoder is not None:
            load_encoder(network, data.encoder, plan)
        yield supervised_stage(self, network.to(device), data, plan, seed, device)


class PolyCLOrgan(PolyCL):
    """As :class:`PolyCL`, with the encoder that has learnt which slices hold a label, from labels of the source."""

    encoder = "poly_cl_organ"


class PolyCLMixed(PolyCL):
    """As :class:`PolyCL`, with the encoder that has learnt both, scans and labels of the source."""

    encoder = "poly_cl_mixed"


class SliceUNet(PolyCL):
    """The network of :class:`PolyCL` with drawn weights."""

    encoder = None


class ConvMAE(PolyCL):
    """A U-Net around the encoder of the convolutional masked autoencoder, with its weights; 2-D and 3-D."""

    encoder: ClassVar[str | None] = "conv_mae"

    @classmethod
    def planned(cls, plan: SegmentationPlan, preset: Preset) -> SegmentationPlan:
        """As :class:`TrainingMethod`."""
        return around_encoder(plan, preset.encoder_channels)


class ConvMAEScratch(ConvMAE):
    """The network of :class:`ConvMAE` with drawn weights."""

    encoder = None


def load_encoder(network: nn.Module, weights: Mapping[str, Tensor] | None, plan: SegmentationPlan) -> None:
    """Give the descending half of a network the weights of an encoder.

    An encoder of slices sees them upright, with rows first; the network sees the axes of the file or of R, A and S.
    Hence its kernels are turned, so that both find the same in the same image.

    Args:
        network: of ``plan``.
        weights: ``state_dict()`` of an encoder that the plan is made for.
        plan: of the network.

    Raises:
        UserError: there are none, or those of another encoder.
    """
    stages, name = descending(network), "encoder" if plan.widths else "stages"
    for number, stage in enumerate(stages):
        prefix = f"{name}.{number}."
        found = {key.removeprefix(prefix): value for key, value in (weights or {}).items() if key.startswith(prefix)}
        if not plan.widths:
            found = {key: _turned(value, plan) for key, value in found.items()}
        try:
            stage.load_state_dict(found)
        except RuntimeError as error:
            raise UserError(
                "the weights of the encoder that the training is to begin with are missing or of another network; "
                "train the encoder again, or choose the method supervised"
            ) from error


def descending(network: nn.Module) -> list[nn.Module]:
    """The stages of a network of :func:`build_network`, from the image to the bottom."""
    if isinstance(network, EncoderUNet):
        return list(network.stages)
    block, stages = network.get_submodule("model"), []
    while isinstance(block, nn.Sequential) and isinstance(block[1], SkipConnection):
        stages.append(block[0])
        block = block[1].submodule
    return [*stages, block]


def _turned(value: Tensor, plan: SegmentationPlan) -> Tensor:
    """A kernel (out, in, rows, columns) for images whose axes are the columns and rows of upright ones."""
    if value.ndim != 4:
        return value
    upright = value if plan.spatial_dims == 2 else value.flip(-1, -2)
    return upright.transpose(-1, -2).contiguous()
