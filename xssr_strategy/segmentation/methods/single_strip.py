"""SingleStrip: a network from a single label, by images of random contrast and by the best of its own masks.

Specktor-Fadida & Hoffmann 2025 (arXiv 2508.10464). The paper names the stages; their numbers are our choice.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from monai.transforms import Compose, Transform

from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import Batch, Stage, TrainingMethod, Work
from xssr_strategy.segmentation.methods.loaders import another_seed, epoch_loader
from xssr_strategy.segmentation.methods.mask_autoencoding import AUTOENCODER_STEPS, MaskAutoencoding
from xssr_strategy.segmentation.methods.own_masks import OwnMask, OwnMasks, ReadPairOrOwnMask
from xssr_strategy.segmentation.methods.supervised import supervised_step
from xssr_strategy.segmentation.methods.synthesis import synthesis_transforms
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import training_transforms

logger = logging.getLogger(__name__)

SYNTHESISED_SHARE = 0.5  # of the steps, before the masks are made


class SingleStrip(TrainingMethod):
    """Learns from synthesised images of the labels, then from the best of its own masks, too.

    Four stages: synthesised and real images of the labels; an autoencoder of their masks; masks of unlabelled images,
    of which those of the best quality are kept; synthesised and real images, of labels and kept masks alike.

    A step updates the weights twice, by synthesised images and by real ones. With several labels it uses them all.
    Without an unlabelled image no mask is made, and none judged.
    """

    uses_unlabelled = True
    version = 5  # synthesised and real images have an update each
    keep: ClassVar[float] = 0.3
    """Share of the masks that are trained on, those of the best quality."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._judge = MaskAutoencoding(min(self.steps, AUTOENCODER_STEPS), self.steps_per_epoch)

    def stages(
        self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device
    ) -> Iterator[Stage | Work]:
        """As :class:`TrainingMethod`."""
        network = self.new_network(plan, seed, device)
        update = supervised_step(network, device)
        first = round(SYNTHESISED_SHARE * self.steps)
        loaders = _Loaders(data, plan, self.steps_per_epoch, self.recipe.batch_size, seed)
        with data.kept_stages() as folder:
            seen = (self.steps - first) * loaders.masks_a_step
            masks = OwnMasks(data, plan, math.ceil(seen / self.keep) if self.keep else 0, seed, folder)
            if not len(masks):
                if self.keep:
                    logger.warning("There is no unlabelled image to learn from: the labels alone are.")
                yield self.stage("synthesised", network, loaders.with_masks((), 0), self.steps, update, updates=2)
                return
            yield self.stage("synthesised", network, loaders.with_masks((), 0), first, update, updates=2)
            judging, self.autoencoder = self._judge.judging(data, plan, seed, device)
            yield judging
            yield Work("masks", masks.make(network, self.autoencoder, device), len(masks))
            kept = masks.best(self.keep)
            if masks.found and not kept:
                if any(mask.holds_label for mask in masks.found):
                    what = "No mask of %d images looks at all like the labels: these alone are learnt from."
                else:
                    what = "Nothing is found on any of %d images: the labels alone are learnt from."
                logger.warning(what, len(masks.found))
            batches = loaders.with_masks(kept, 1)
            yield self.stage("fine-tuning", network, batches, self.steps - first, update, updates=2)


class SingleStripWithoutMasks(SingleStrip):
    """Learns from synthesised and real images of the labels in all steps."""

    keep = 0.0


class SingleStripKeepingFew(SingleStrip):
    """Learns from the best tenth of its masks."""

    keep = 0.1


class SingleStripKeepingHalf(SingleStrip):
    """Learns from the better half of its masks."""

    keep = 0.5


class _Loaders:
    """The batches of each stage."""

    def __init__(self, data: TrainingData, plan: SegmentationPlan, steps: int, batch_size: int, seed: int) -> None:
        self._data, self._plan, self._steps, self._batch_size, self._seed = data, plan, steps, batch_size, seed

    @property
    def masks_a_step(self) -> float:
        """Real images with a mask in a batch of :meth:`with_masks`."""
        return self._batch_size / 2

    def with_masks(self, masks: Sequence[OwnMask], stage: int) -> Iterable[Batch]:
        """A batch synthesised and a batch real; of labels and masks in turn. Each stage draws anew."""
        first = 2 + 2 * stage
        synthesised = self._loader(synthesis_transforms, masks, first)
        return Joined(synthesised, self._loader(training_transforms, masks, first + 1))

    def _loader(self, transforms: Callable[..., Compose], masks: Sequence[OwnMask], purpose: int) -> Iterable[Batch]:
        data, plan = self._data, self._plan
        pairs = (*data.labelled, *data.source_labelled)
        seed = another_seed(self._seed, purpose)

        def chain(read: Transform) -> Compose:
            return transforms(data.preset, plan, seed, read)

        items = [*(pair.item for pair in pairs), *(mask.item for mask in masks)]
        holding = [*(pair.holds for pair in pairs), *[frozenset[int]()] * len(masks)]
        dataset = data.cache.dataset(items, ReadPairOrOwnMask(data.preset, plan), chain)
        first = len(pairs) if masks else len(data.labelled)
        return epoch_loader(dataset, self._steps, self._batch_size, seed, first, holding)


class Joined:
    """Batches of two loaders, one after the other in one batch, on the device of the other.

    Args:
        one, other: of equally many batches, with the same names in them.
    """

    def __init__(self, one: Iterable[Batch], other: Iterable[Batch]) -> None:
        self._one, self._other = one, other

    def __iter__(self) -> Iterator[Batch]:
        for one, other in zip(self._one, self._other, strict=True):
            yield {name: torch.cat([one[name].to(other[name].device), other[name]]) for name in one}
