"""What a published network says of the images of a pool, by this process or by several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import nn

from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.parallel.images import EndsProcess, Workers, map_images
from xssr_strategy.segmentation.inference import Predictor
from xssr_strategy.segmentation.mask_quality import MaskAutoencoder, image_qualities
from xssr_strategy.segmentation.plan import SegmentationPlan, check_plan
from xssr_strategy.segmentation.publication import load_judged_model, model_id
from xssr_strategy.segmentation.uncertainty import image_entropies

_BATCH = 16  # images that a process is given at once (our choice)
_FEW = 2 * _BATCH  # images up to which this process is done before others have started (our choice)

Value = TypeVar("Value", covariant=True)
Scored = Iterator[tuple[str, Value | UnreadableImage]]


class NoJudgeError(UserError):
    """The network has nothing to judge its masks by, now or later."""


@dataclass(frozen=True)
class NetworkFunction(ABC, Generic[Value]):
    """:func:`xssr_strategy.parallel.images.map_images` with a published network.

    Attributes:
        network: the model file.
        model: id of the model that is expected there.
        preset: kind of image.
        labels: names of the labels that the network must have.
    """

    network: Path
    model: str
    preset: Preset
    labels: tuple[str, ...]

    def open(self) -> Callable[[Mapping[str, Path]], Scored[Value]]:
        """Load the network.

        Raises:
            UserError: it cannot be used, or another one is published.
        """
        network, plan, judge = load_judged_model(self.network)
        if model_id(self.network) != self.model:
            raise UserError(f"{self.network}: another network was published meanwhile; run again.")
        check_plan(plan, self.preset, self.labels)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return self._function(network.to(device), plan, None if judge is None else judge.to(device), device)

    @abstractmethod
    def _function(
        self, network: nn.Module, plan: SegmentationPlan, judge: MaskAutoencoder | None, device: torch.device
    ) -> Callable[[Mapping[str, Path]], Scored[Value]]:
        """What is computed, from image -> path."""


class EntropyFunction(NetworkFunction[float]):
    """Mean predictive entropy in nats."""

    def _function(
        self, network: nn.Module, plan: SegmentationPlan, judge: MaskAutoencoder | None, device: torch.device
    ) -> Callable[[Mapping[str, Path]], Scored[float]]:
        return partial(image_entropies, network=network, plan=plan, preset=self.preset, device=device)


class QualityFunction(NetworkFunction[Mapping[str, float]]):
    """Label -> quality of the network's mask, from 0 to 1."""

    def _function(
        self, network: nn.Module, plan: SegmentationPlan, judge: MaskAutoencoder | None, device: torch.device
    ) -> Callable[[Mapping[str, Path]], Scored[Mapping[str, float]]]:
        if judge is None:
            raise NoJudgeError("the segmentation model has nothing to judge its masks by; train again")
        predict = Predictor(network, plan, device)
        return partial(image_qualities, predict=predict, judge=judge, plan=plan, preset=self.preset)


def scored_pool(function: NetworkFunction[Value], images: Mapping[str, Path], workers: Workers) -> Scored[Value]:
    """Pairs of image and value, or why the image cannot be read.

    One process is this one; it takes the images in their order, and does so with a few in any case. Several take them
    in batches, in the order in which these end; what they cannot read is read once more here: several processes may
    lack memory.

    Raises:
        UserError: at once, if the network cannot be used; while it runs, if another one is published in between.
    """
    score = function.open()
    if len(images) <= _FEW or (workers.count == 1 and workers.address is None):
        return score(images)
    return _by_workers(function, score, images, workers)


def _by_workers(
    function: NetworkFunction[Value],
    score: Callable[[Mapping[str, Path]], Scored[Value]],
    images: Mapping[str, Path],
    workers: Workers,
) -> Scored[Value]:
    unread: dict[str, Path] = {}
    for batch in map_images(function, images, workers, _BATCH):
        for image, value in batch:
            if isinstance(value, UnreadableImage) and not isinstance(value, EndsProcess):
                unread[image] = images[image]
            else:
                yield image, value
    yield from score(unread)
