"""How a network is run over images, those that are larger than what it sees at once included."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from monai.inferers import Inferer, SimpleInferer, SliceInferer, SlidingWindowInferer
from torch import Tensor, nn

from xssr_strategy.errors import UserError
from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import read_for_network

_AHEAD = {2: 16, 3: 3}  # images in memory at most: volumes are large


def build_inferer(plan: SegmentationPlan) -> Inferer:
    """One pass for 2-D images, which fit by construction; overlapping windows, weighted by a Gaussian, for 3-D.

    Of a network that sees slices the windows are parts of transverse slices.

    An overlap of a half is nnU-Net's choice (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z). Four windows at once
    take half the time of one by one on a processor, where PyTorch convolves a single small window by a slower way.
    """
    if plan.spatial_dims == 2:
        return SimpleInferer()
    if plan.network_dims == 2:
        return SliceInferer(roi_size=plan.roi, sw_batch_size=16, overlap=0.5, mode="gaussian", spatial_dim=2)
    return SlidingWindowInferer(roi_size=plan.roi, sw_batch_size=4, overlap=0.5, mode="gaussian")


class Predictor:
    """A network that segments one image at a time.

    Args:
        network: in evaluation mode, on the device.
        plan: of the network.
        device: where the network is.

    Attributes:
        device: as given.
    """

    def __init__(self, network: nn.Module, plan: SegmentationPlan, device: torch.device) -> None:
        self.device = device
        self._network, self._inferer = network, build_inferer(plan)

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """From an image (C, *grid) to float32 logits (classes, *grid), on the device."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = torch.as_tensor(self._inferer(image[None].to(self.device), self._network))
        return logits[0].float()


class Prediction(NamedTuple):
    """What a network says of an image.

    Attributes:
        image: float32 (C, *grid), as the network sees it, on its device.
        logits: float32 (classes, *grid), on its device.
    """

    image: Tensor
    logits: Tensor


def predictions(
    images: Mapping[str, Path], predict: Predictor, plan: SegmentationPlan, preset: Preset
) -> Iterator[tuple[str, Prediction | UnreadableImage]]:
    """Yield (id, prediction, or why the image cannot be read or does not fit into memory), in order.

    Images are predicted one by one: what an image gets does not depend on what else is looked at.

    Args:
        images: id -> path.
        predict: the network.
        plan: of the network.
        preset: kind of image.
    """

    def read(path: Path) -> Tensor:
        return read_for_network(path, preset, plan)[0]

    for name, found in read_ahead(images, read, _AHEAD[preset.spatial_dims]):
        if isinstance(found, UnreadableImage):
            yield name, found
        else:
            try:
                with memory_told(images[name]):
                    image = found.to(predict.device)
                    prediction: Prediction | UnreadableImage = Prediction(image, predict(image))
            except UnreadableImage as error:
                prediction = error
            yield name, prediction


def finite(found: Mapping[str, tuple[float, ...] | UnreadableImage]) -> dict[str, tuple[float, ...]]:
    """What a network has said of each image that could be read.

    Raises:
        UserError: all of it is NaN or infinite.

    >>> finite({"a": (0.5, 1.0), "b": UnreadableImage("b.png: is damaged"), "c": (float("nan"), 1.0)})
    {'a': (0.5, 1.0)}
    >>> finite({"c": (float("nan"), 1.0)})
    Traceback (most recent call last):
    xssr_strategy.errors.UserError: the training has diverged, its network says nothing finite: change --steps.
    """
    told = {image: values for image, values in found.items() if isinstance(values, tuple)}
    good = {image: values for image, values in told.items() if all(map(math.isfinite, values))}
    if told and not good:
        raise UserError("the training has diverged, its network says nothing finite: change --steps.")
    return good
