"""UST-RUN: labelled and unlabelled images of several domains are mixed, and the mixtures carry what was learnt across.

Ma et al., TMI 2025, arXiv 2505.24567, which adds the two queues to MiDSS (Ma et al., CVPR 2024, arXiv 2404.08951). The
algorithm and its numbers are theirs; network, optimiser and augmentation of labelled images are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from monai.networks import one_hot
from torch import Tensor, nn

from xssr_strategy.segmentation.methods.semi_supervised import (
    Consistency,
    Guess,
    Lesson,
    SemiSupervised,
    Views,
    box_between,
    copy_paste_box,
    copy_paste_boxes,
    guess,
    mix,
    mix_guess,
    ramp_up,
    trusted_loss,
)
from xssr_strategy.segmentation.network import likeliest, without_ignored

# UST-RUN's code.
LOW_FREQUENCIES = 0.01  # half-size of the square of amplitudes that are mixed, as a share of the smallest side
QUEUE_LENGTH = 10
HARDNESS_LIMIT = 0.1  # up to which an image may be reliable
LIMIT_GROWTH = 1.0005  # of the limit, with each step of ``THEIR_STEPS`` that found no reliable image
THEIR_STEPS = 60_000  # of a training
QUEUE_SHARE = 0.5  # of the images to be mixed in that come from the queue
UNTRIED = 500 / THEIR_STEPS  # share of a training in which no image is reliable
LEAST_LIMIT = 0.01  # our choice: images on which student and teacher agree in each pixel would end the queue

AMPLITUDES, GUIDANCE, QUEUE = "amplitudes", "guidance", "queue"  # TP-RAM; SymGD; reliable and hardest images


class _UstRunConsistency(Consistency):
    def __init__(
        self, student: nn.Module, teacher: nn.Module, rng: np.random.Generator, steps: int, parts: frozenset[str]
    ) -> None:
        super().__init__(student, teacher, rng)
        self._parts = parts
        self._reliable = ReliableQueue(LIMIT_GROWTH ** (THEIR_STEPS / steps))
        self._hardest: Example | None = None

    def lesson(self, views: Views, done: float) -> Lesson:
        label, seen = without_ignored(views.label)
        known = Example(views.image, Guess(label.long(), seen))
        pasted = self._to_paste(known, len(views.weak))  # in the range of unlabelled images
        box = copy_paste_boxes(views.weak, self.rng)
        with torch.no_grad():
            in_weak, around_weak = mix(views.weak, pasted.image, box), mix(pasted.image, views.weak, box)
            seen = self.teacher(torch.cat([views.weak, in_weak, around_weak])).float().chunk(3)
            plain, inside, around = (guess(logits) for logits in seen)
            styled = self._styled(pasted.image, views.weak, done)
        guided = merge_guidance(plain, inside, around, box) if GUIDANCE in self._parts else plain
        lessons = [
            Example(mix(views.strong, styled, box), mix_guess(plain, pasted.guess, box)),
            Example(mix(styled, views.strong, box), mix_guess(pasted.guess, plain, box)),
            Example(views.strong, guided),
        ]
        if self._hardest is not None:
            lessons.append(self._covered(self._hardest, known))
        inputs = [known.image, *(one.image for one in lessons)]
        logits, *learnt = self.student(torch.cat(inputs)).float().split([len(one) for one in inputs])
        if QUEUE in self._parts:
            self._keep(Example(views.weak, plain), done)
        in_strong = torch.cat([learnt[0], *learnt[3:]])
        weight = ramp_up(done)
        losses = {
            "pasted_in": weight * trusted_loss(in_strong, _joined([lessons[0], *lessons[3:]])),
            "pasted_around": weight * trusted_loss(learnt[1], lessons[1].guess),
            "guided": weight**2 * trusted_loss(learnt[2], lessons[2].guess),
        }
        return Lesson(logits, losses, plain)

    def _to_paste(self, known: Example, count: int) -> Example:
        """So many images to mix with unlabelled ones: labelled, and up to a half reliable."""
        reliable = self._reliable.draw(int(QUEUE_SHARE * count), self.rng)
        rows = self.rng.integers(len(known.image), size=count - len(reliable))
        chosen = [known.row(int(row)) for row in rows] + reliable
        pasted = _stacked([chosen[place] for place in self.rng.permutation(count)])
        return replace(pasted, image=pasted.image.clamp(0.0, 1.0))

    def _styled(self, images: Tensor, towards: Tensor, done: float) -> Tensor:
        if AMPLITUDES not in self._parts:
            return images
        shares = self.rng.uniform(0.0, done, size=len(images))
        return amplitude_mix(images, towards, torch.as_tensor(shares, dtype=images.dtype, device=images.device))

    def _covered(self, hardest: Example, known: Example) -> Example:
        """The hardest image of the step before, a labelled one pasted over the labels of both."""
        labelled = known.row(int(self.rng.integers(len(known.image))))
        box = covering_box((hardest.guess.label > 0) | (labelled.guess.label > 0))
        if box is None:
            box = copy_paste_box(hardest.image.shape[2:], self.rng)[None].to(hardest.image.device)
        covered = mix_guess(hardest.guess, labelled.guess, box)
        return Example(mix(hardest.image, labelled.image, box), covered)

    def _keep(self, seen: Example, done: float) -> None:
        """The reliable images of a batch, and its hardest."""
        with torch.no_grad():
            logits = self.student(seen.image)
        found = torch.ones(len(seen.image))
        if done >= UNTRIED:
            found = hardness(likeliest(logits, 1, keepdim=True), seen.guess.label, logits.shape[1])
        self._reliable.offer(seen, found)
        self._hardest = seen.row(int(found.argmax()))


class UstRun(SemiSupervised):
    """UST-RUN (arXiv 2505.24567) on this project's U-Net; the teacher is published.

    Attributes:
        parts: what it adds to copy and paste between labelled and unlabelled images.

    >>> UstRun(steps=80).uses_unlabelled
    True
    """

    epochs = 17  # a step takes 3 to 5.2 times as long as a supervised one on two cores
    parts: ClassVar[frozenset[str]] = frozenset({AMPLITUDES, GUIDANCE, QUEUE})

    def consistency(self, student: nn.Module, teacher: nn.Module, rng: np.random.Generator) -> Consistency:
        """With its parts."""
        return _UstRunConsistency(student, teacher, rng, self.steps, self.parts)


class UstRunWithoutAmplitudes(UstRun):
    """Labelled images keep their style."""

    parts = UstRun.parts - {AMPLITUDES}


class UstRunWithoutGuidance(UstRun):
    """Strong views learn what the teacher guesses of the weak view alone."""

    parts = UstRun.parts - {GUIDANCE}


class UstRunWithoutQueue(UstRun):
    """Without reliable and hardest images, which is MiDSS (arXiv 2404.08951)."""

    parts = UstRun.parts - {QUEUE}


@dataclass(frozen=True)
class Example:
    """Images with what is known or guessed of them.

    Attributes:
        image: (B, C, *spatial).
        guess: their labels, and where they are trusted.
    """

    image: Tensor
    guess: Guess

    def row(self, number: int) -> Example:
        """One of the images, as a batch of its own, which does not keep the others in memory."""
        parts = self.image, self.guess.label, self.guess.trusted
        image, label, trusted = (part[number : number + 1].clone() for part in parts)
        return Example(image, Guess(label, trusted))


class ReliableQueue:
    """The last images of which student and teacher said the same, to be mixed with others.

    Args:
        growth: of the limit, with each batch without a reliable image.

    Attributes:
        limit: hardness below which an image is reliable.
    """

    def __init__(self, growth: float = LIMIT_GROWTH, length: int = QUEUE_LENGTH) -> None:
        self._growth, self._length = growth, length
        self._kept: list[tuple[Example, float]] = []  # the newest first
        self.limit = HARDNESS_LIMIT

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, batch: Example, hard: Tensor) -> None:
        """Keep the reliable ones of a batch, of hardness (B,).

        After a batch with a reliable image the limit is the largest hardness in the queue, but not below
        ``LEAST_LIMIT`` nor above what it was; after a batch without one it grows.
        """
        new = [(batch.row(row), value) for row, value in enumerate(hard.tolist()) if value < self.limit]
        if not new:
            self.limit = min(self._growth * self.limit, HARDNESS_LIMIT)
            return
        self._kept = [*new, *self._kept][: self._length]
        self.limit = min(self.limit, max(LEAST_LIMIT, *(value for _, value in self._kept)))

    def draw(self, count: int, rng: np.random.Generator) -> list[Example]:
        """So many images of the queue, or as many as it holds; one may be drawn twice."""
        count = min(count, len(self))
        return [self._kept[int(place)][0] for place in rng.integers(len(self), size=count)] if count else []


def amplitude_mix(image: Tensor, towards: Tensor, share: Tensor) -> Tensor:
    """TP-RAM: the low-frequency amplitudes of an image, its style, become in part another's; the phase is kept.

    In the centred square of half-size ``floor(LOW_FREQUENCIES * smallest side)``, at least 1 (our choice: below 100
    pixels the mean alone would change), the amplitude is (1 - share) A + share A'.

    Args:
        image, towards: (B, C, *spatial) with values in [0, 1].
        share: (B,) in [0, 1].

    Returns:
        (B, C, *spatial), clipped to [0, 1].
    """
    axes = tuple(range(2, image.ndim))
    sides = image.shape[2:]
    reach = max(1, int(LOW_FREQUENCIES * min(sides)))
    low = torch.ones(sides, dtype=torch.bool, device=image.device)
    for axis, side in enumerate(sides):
        near = (torch.fft.fftfreq(side, 1.0 / side, device=image.device).abs() <= reach + 0.5).reshape(
            [-1 if other == axis else 1 for other in range(len(sides))]
        )
        low = low & near
    spectrum, other = torch.fft.fftn(image, dim=axes), torch.fft.fftn(towards, dim=axes)
    weight = share.reshape(-1, *(1 for _ in image.shape[1:])) * low
    amplitude = torch.lerp(spectrum.abs(), other.abs(), weight)
    mixed = torch.fft.ifftn(torch.polar(amplitude, spectrum.angle()), dim=axes).real
    return mixed.clamp(0.0, 1.0)


def merge_guidance(plain: Guess, inside: Guess, around: Guess, box: Tensor) -> Guess:
    """SymGD: each pixel's label as guessed where the image was mixed with another, trusted where the guesses agree.

    Args:
        plain: of the unlabelled image itself.
        inside: of the image with another in its box, which tells of what is outside the box.
        around: of the image's box in another, which tells of what is inside.
        box: bool (B, 1, *spatial).
    """
    merged = mix_guess(inside, around, box)
    return Guess(merged.label, merged.trusted & (merged.label == plain.label) & plain.trusted)


def hardness(student: Tensor, teacher: Tensor, classes: int) -> Tensor:
    """1 - Dice of what student and teacher found, (B,), averaged over labels.

    A label that neither found counts as agreement, but an image in which neither found any label has the hardness 1
    (our choice): it has nothing to paste.

    Args:
        student, teacher: (B, 1, *spatial) label numbers.
        classes: labels and background.

    >>> import torch
    >>> round(hardness(torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[1, 0, 0, 0]]]), classes=2).item(), 3)
    0.333
    """
    one, other = (one_hot(labels, classes)[:, 1:].flatten(2) for labels in (student, teacher))
    both, sizes = (one * other).sum(2), one.sum(2) + other.sum(2)
    dice = torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), torch.ones_like(sizes)).mean(1)
    return torch.where(sizes.sum(1) > 0, 1 - dice, torch.ones_like(dice)).cpu()


def covering_box(region: Tensor) -> Tensor | None:
    """The smallest box around a region, bool of its shape (1, 1, *spatial); None if the region is empty."""
    places = region[0, 0].nonzero()
    if not len(places):
        return None
    first, last = places.min(0).values, places.max(0).values
    return box_between(first.tolist(), (last + 1).tolist(), region.shape[2:])[None].to(region.device)


def _stacked(examples: Sequence[Example]) -> Example:
    return Example(torch.cat([one.image for one in examples]), _joined(examples))


def _joined(examples: Sequence[Example]) -> Guess:
    return Guess(torch.cat([one.guess.label for one in examples]), torch.cat([one.guess.trusted for one in examples]))
