"""Batches of labelled and of unlabelled images, and of both side by side."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset, ThreadDataLoader
from monai.data.thread_buffer import ThreadBuffer
from torch import Tensor
from torch.utils.data import RandomSampler, Sampler

from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import Batch
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.segmentation.transforms import training_transforms, unlabelled_transforms

logger = logging.getLogger(__name__)

ORDER_VERSION = 2
"""Of the order in which labelled images are learnt from; with another one, the same labels give another network."""


def labelled_batches(data: TrainingData, plan: SegmentationPlan, steps: int, batch_size: int, seed: int) -> DataLoader:
    """An epoch of ``steps`` batches {"image", "label"}, augmented.

    Where the source has labels, too, every second image is one of the source's, however many there are of each. Where
    an image lacks a label that another one holds, every second image of each is one that holds a label.
    """
    dataset = data.pairs(plan, lambda read: training_transforms(data.preset, plan, seed, read))
    holding = [pair.holds for pair in (*data.labelled, *data.source_labelled)]
    return epoch_loader(dataset, steps, batch_size, seed, len(data.labelled), holding)


def unlabelled_batches(
    data: TrainingData, plan: SegmentationPlan, steps: int, batch_size: int, seed: int
) -> Iterable[Batch] | None:
    """An epoch of ``steps`` batches {"weak", "strong"}; None if there is no image that can be read.

    One that cannot be read is left out when its turn comes, and the log says why.
    """
    dataset = ReadableImages(data.images(plan, lambda read: unlabelled_transforms(data.preset, plan, seed, read)))
    if not dataset.any_readable():
        return None
    return epoch_loader(dataset, steps, batch_size, another_seed(seed, 1))


def another_seed(seed: int, purpose: int) -> int:
    """A seed of its own for each purpose; torch takes the low 32 bits alone, so adding 2**32 is no change."""
    return int(np.random.SeedSequence([seed, purpose]).generate_state(1)[0])


def epoch_loader(
    dataset: Dataset,
    steps: int,
    batch_size: int,
    seed: int,
    first: int | None = None,
    holding: Sequence[frozenset[int]] | None = None,
) -> DataLoader:
    """An epoch of ``steps`` batches: the images over and over in random order, or a random part of them.

    Args:
        dataset: its random transforms are seeded anew here.
        first: so many images at the beginning take turns with the others; by default all are alike.
        holding: labels that each image holds, for :class:`LabelsInTurn`; by default that does not matter.
    """
    # MONAI's loader seeds the transforms from torch's process-wide generator unless it is given one.
    generator = torch.Generator().manual_seed(seed)
    count = steps * batch_size
    held = [frozenset()] * len(dataset) if holding is None else holding
    if first is None or not 0 < first < len(dataset):
        sampler = _in_random_order(held, count, generator)
    else:
        one, other = (_in_random_order(part, count, generator) for part in (held[:first], held[first:]))
        sampler = TakingTurns(one, other, first, count)
    return ReadingLoader(dataset=dataset, batch_size=batch_size, sampler=sampler, generator=generator)


class ReadingLoader(ThreadDataLoader):
    """As MONAI's, whose thread would print a traceback and end the epoch early where an image cannot be read.

    Raises:
        UserError: what the reading step said.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # as MONAI's, which says nothing
        failures: list[Exception] = []

        def batches() -> Iterator[Any]:
            try:
                yield from DataLoader.__iter__(self)
            except Exception as error:  # told in the thread that asked
                failures.append(error)

        yield from ThreadBuffer(batches(), self.buffer_size, self.buffer_timeout)
        for error in failures:
            raise user_error(error) or error


def _in_random_order(holding: Sequence[frozenset[int]], count: int, generator: torch.Generator) -> Sampler[int]:
    """So many of the images, over and over; those that hold a label more often where some lack one."""
    if len(set(holding)) > 1:
        return LabelsInTurn(holding, count, generator)
    return RandomSampler(range(len(holding)), num_samples=count, generator=generator)


class TakingTurns(Sampler[int]):
    """One of the first images, one of the others, and so on.

    Args:
        one, other: give ``count`` numbers each, from 0.
        first: what is added to those of ``other``.

    >>> from torch.utils.data import SequentialSampler
    >>> list(TakingTurns(SequentialSampler(range(4)), SequentialSampler(range(4)), first=100, count=4))
    [0, 100, 1, 101]
    """

    def __init__(self, one: Sampler[int], other: Sampler[int], first: int, count: int) -> None:
        self._one, self._other, self._first, self._count = one, other, first, count

    def __iter__(self) -> Iterator[int]:
        others = (self._first + number for number in self._other)
        return itertools.islice(itertools.chain.from_iterable(zip(self._one, others, strict=True)), self._count)

    def __len__(self) -> int:
        return self._count


class LabelsInTurn(Sampler[int]):
    """An image that holds a label, of each label in turn; then any image; and so on.

    nnU-Net draws a third of its patches around a label for the same reason (Isensee et al. 2021, doi
    10.1038/s41592-020-01008-z). Where half of the images are empty, and all were alike, some trainings found nothing on
    the very images that they had learnt from.

    Args:
        holding: numbers of the labels that each image holds; there is at least one label.
        count: images of an epoch.
        generator: of the random order.

    >>> import torch
    >>> holding = [frozenset(), frozenset(), frozenset({1}), frozenset({1, 2})]
    >>> order = list(LabelsInTurn(holding, 40, torch.Generator().manual_seed(0)))
    >>> sorted(set(order[0::4])), sorted(set(order[2::4])), sorted(set(order[1::2]))
    ([2, 3], [3], [0, 1, 2, 3])
    """

    def __init__(self, holding: Sequence[frozenset[int]], count: int, generator: torch.Generator) -> None:
        labels = sorted(frozenset.union(*holding))
        self._holders = [[place for place, held in enumerate(holding) if label in held] for label in labels]
        self._all, self._count, self._generator = range(len(holding)), count, generator

    def __iter__(self) -> Iterator[int]:
        holders = itertools.cycle([self._over_and_over(places) for places in self._holders])
        anyone = self._over_and_over(self._all)
        for number in range(self._count):
            yield next(anyone if number % 2 else next(holders))

    def __len__(self) -> int:
        return self._count

    def _over_and_over(self, places: Sequence[int]) -> Iterator[int]:
        """All in a random order, then all in another, and so on."""
        while True:
            for place in torch.randperm(len(places), generator=self._generator).tolist():
                yield places[place]


class ReadableImages(Dataset):
    """Unlabelled images; in place of one that cannot be read comes the next that can.

    Args:
        images: each {"image", "strong"}, or a list of one such.
    """

    def __init__(self, images: Dataset) -> None:
        super().__init__(range(len(images)))
        self._images = images
        self._unreadable: set[int] = set()

    def any_readable(self) -> bool:
        """Whether there is an image to learn from."""
        return bool(len(self)) and self._next(0) is not None

    def _transform(self, index: int) -> dict[str, Tensor]:
        """As MONAI's class calls it."""
        found = self._next(index)
        if found is None:
            raise UserError("none of the unlabelled images can be read any more; put them back and train again")
        return {"weak": found["image"], "strong": found["strong"]}

    def _next(self, index: int) -> Any:
        for number in itertools.chain(range(index, len(self)), range(index)):
            if number in self._unreadable:
                continue
            try:
                found = self._images[number]
            except (UserError, RuntimeError) as error:
                reason = user_error(error)
                if reason is None:
                    raise
                self._unreadable.add(number)
                logger.warning("not learnt from: %s", reason)
                continue
            return found[0] if isinstance(found, list) else found
        return None


def user_error(error: BaseException) -> UserError | None:
    """The error for people behind what MONAI raises for any error of a transform, if it is one."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, UserError):
        reason = reason.__cause__
    return reason


class Together:
    """Batches of two loaders, side by side.

    Args:
        one, other: of equally many batches, with other names in them.
    """

    def __init__(self, one: Iterable[Batch], other: Iterable[Batch]) -> None:
        self._one, self._other = one, other

    def __iter__(self) -> Iterator[Batch]:
        return ({**one, **other} for one, other in zip(self._one, self._other, strict=True))
