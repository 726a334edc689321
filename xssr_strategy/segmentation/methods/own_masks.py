"""Masks that a network makes of unlabelled images, judged, the best of which are trained on as if they were labels."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.segmentation.data import TrainingData, some_images
from xssr_strategy.segmentation.inference import Predictor
from xssr_strategy.segmentation.mask_quality import MaskQuality
from xssr_strategy.segmentation.network import likeliest
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import ReadPair, read_for_network
from xssr_strategy.storage.tensor_files import save_tensors

logger = logging.getLogger(__name__)

MOST = {2: 1000, 3: 100}  # images that get a mask, by dimension: a volume takes seconds; our choice


@dataclass(frozen=True)
class OwnMask:
    """A mask that a network made.

    Attributes:
        image: path of the image.
        mask: path of the mask, on the grid of the network.
        quality: mean over the labels, in [0, 1].
        holds_label: whether anything was found on the image.
    """

    image: str
    mask: str
    quality: float
    holds_label: bool

    @property
    def item(self) -> dict[str, str]:
        """As :class:`ReadPairOrOwnMask` reads it."""
        return {"image": self.image, "mask": self.mask}


class ReadPairOrOwnMask(ReadPair):
    """As :class:`xssr_strategy.segmentation.transforms.ReadPair`, and likewise of :class:`OwnMask`."""

    def __call__(self, data: Mapping[str, str]) -> dict[str, Tensor]:
        if "mask" not in data:
            return super().__call__(data)
        image, _ = read_for_network(data["image"], self.preset, self.plan)
        return {"image": image, "label": torch.load(data["mask"], weights_only=True)["label"]}


class OwnMasks:
    """Makes the masks of a training's unlabelled images, once for each.

    Args:
        data: its unlabelled images.
        plan: of the network.
        most: images that get a mask, drawn with the seed if there are more; never more than ``MOST``.
        seed: of which images are drawn.
        folder: where the masks are kept; those that lie there are not made again.
    """

    def __init__(self, data: TrainingData, plan: SegmentationPlan, most: int, seed: int, folder: Path) -> None:
        self._images = some_images(data.unlabelled, min(most, MOST[plan.spatial_dims]), seed)
        self._preset, self._plan, self._folder = data.preset, plan, folder
        self.found: list[OwnMask] = []

    def __len__(self) -> int:
        return len(self._images)

    @torch.inference_mode()
    def make(self, network: nn.Module, judge: MaskQuality, device: torch.device) -> Iterator[None]:
        """One image at a time: its mask and the quality of it; the log says which cannot be read, and why."""
        predict = Predictor(network.eval(), self._plan, device)
        for name, path in self._images.items():
            file = self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.pt"
            try:
                if not file.exists():
                    with memory_told(path):
                        image, _ = read_for_network(path, self._preset, self._plan)
                        logits = predict(image)
                        qualities = judge.quality(image.to(device), logits, predict)
                    label = likeliest(logits, keepdim=True).to(torch.uint8).cpu()
                    save_tensors({"label": label, "quality": qualities}, file)
                kept = torch.load(file, weights_only=True)
                holds_label = bool(kept["label"].any())
                self.found.append(OwnMask(str(path), str(file), float(kept["quality"].mean()), holds_label))
            except UserError as error:
                logger.warning("not learnt from: %s", error)
            yield

    def best(self, share: float) -> Sequence[OwnMask]:
        """The best share of the masks of any quality, at least one if there is any; best first."""
        ranked = sorted((mask for mask in self.found if mask.quality > 0), key=lambda mask: (-mask.quality, mask.image))
        return ranked[: math.ceil(share * len(ranked))]
