"""What methods that learn from unlabelled images share: two views of each, a mean teacher, boxes, trusted guesses.

The teacher guesses the label of a weakly augmented image. Where it is sure, the student learns the guess on a strongly
augmented or mixed view of the same image.
"""

from __future__ import annotations

import copy
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.losses import DiceLoss
from monai.networks import one_hot
from torch import Tensor, nn
from torch.nn import functional as F

from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.base import Batch, Stage, StepResult, TrainingMethod
from xssr_strategy.segmentation.methods.loaders import Together, labelled_batches, unlabelled_batches
from xssr_strategy.segmentation.methods.supervised import supervised_step
from xssr_strategy.segmentation.network import build_loss
from xssr_strategy.segmentation.plan import SegmentationPlan

logger = logging.getLogger(__name__)

# MiDSS (arXiv 2404.08951) and UST-RUN (arXiv 2505.24567), code of both.
CONFIDENCE = 0.95  # from which a guess is trusted
EMA_DECAY = 0.99  # of the teacher
RAMP = 200  # parts of a training in which the weight of unlabelled losses rises
BOX_SHARE = (0.02, 0.4)  # of the image
BOX_ASPECT = (0.3, 1 / 0.3)

COLLAPSED_AFTER = 200  # steps without a trusted label, our choice
COLLAPSE_COUNTS_FROM = 0.1  # weight of unlabelled losses, our choice: before, a teacher is seldom sure of anything


@dataclass(frozen=True)
class Guess:
    """Labels of images, and where they are trusted.

    Attributes:
        label: (B, 1, *spatial) label numbers.
        trusted: (B, 1, *spatial), bool.
    """

    label: Tensor
    trusted: Tensor

    @property
    def finds_labels(self) -> bool:
        """Whether a label, not only background, is trusted anywhere."""
        return bool(((self.label > 0) & self.trusted).any())


@dataclass(frozen=True)
class Views:
    """A batch.

    Attributes:
        image, label: (B, C, *spatial) augmented labelled images and their (B, 1, *spatial) label numbers.
        weak, strong: (U, C, *spatial) unlabelled images in two augmentations of one geometry.
    """

    image: Tensor
    label: Tensor
    weak: Tensor
    strong: Tensor


@dataclass(frozen=True)
class Lesson:
    """What the student learns from a batch.

    Attributes:
        logits: (B, classes, *spatial) of the labelled images.
        losses: name -> weighted loss of unlabelled images.
        guess: the teacher's, of the unlabelled images.
    """

    logits: Tensor
    losses: Mapping[str, Tensor]
    guess: Guess


class Consistency(ABC):
    """The unlabelled part of a step, with whatever a method keeps between steps.

    Args:
        student, teacher: networks from (B, C, *spatial) to logits.
        rng: of all that is drawn.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, rng: np.random.Generator) -> None:
        self.student, self.teacher, self.rng = student, teacher, rng

    @abstractmethod
    def lesson(self, views: Views, done: float) -> Lesson:
        """One step.

        Args:
            done: share of the training that is over, in [0, 1).
        """


class SemiSupervised(TrainingMethod):
    """A mean teacher (arXiv 1703.01780), whose weights follow the student's and are published.

    Without an unlabelled image that can be read the training is supervised, and so is the rest of a training in which
    the teacher finds no label for long; the log says so.
    """

    uses_unlabelled = needs_unlabelled = True

    @abstractmethod
    def consistency(self, student: nn.Module, teacher: nn.Module, rng: np.random.Generator) -> Consistency:
        """The unlabelled part of a step, for one training."""

    def stages(self, data: TrainingData, plan: SegmentationPlan, seed: int, device: torch.device) -> Iterator[Stage]:
        """One stage of all steps."""
        student = self.new_network(plan, seed, device)
        size = self.recipe.batch_size
        labelled = labelled_batches(data, plan, self.steps_per_epoch, size, seed)
        unlabelled = unlabelled_batches(data, plan, self.steps_per_epoch, size, seed)
        loss, supervised = build_loss(), supervised_step(student, device)

        if unlabelled is None:
            logger.warning("There is no unlabelled image to learn from: the training is supervised.")
            yield self.stage("supervised", student, labelled, self.steps, supervised)
            return
        teacher = copy.deepcopy(student).requires_grad_(False)
        consistency = self.consistency(student, teacher, np.random.default_rng(seed))
        watch = _CollapseWatch()
        steps = 0

        def update(batch: Batch) -> StepResult:
            if watch.collapsed:
                return supervised(batch)
            views = Views(**{name: batch[name].to(device) for name in ("image", "label", "weak", "strong")})
            lesson = consistency.lesson(views, steps / self.steps)
            watch.see(lesson.guess, ramp_up(steps / self.steps))
            return StepResult(
                {"dice_ce": loss(lesson.logits, views.label), **lesson.losses}, lesson.logits, views.label
            )

        def follow() -> None:
            nonlocal steps
            ema_update(teacher, student, steps)
            steps += 1

        yield self.stage(
            "semi-supervised", student, Together(labelled, unlabelled), self.steps, update, teacher, follow
        )


class _CollapseWatch:
    """Notices that the teacher has not found a label for long: it would teach the student that there is none."""

    def __init__(self) -> None:
        self._empty = 0
        self.collapsed = False

    def see(self, guess: Guess, weight: float) -> None:
        if weight < COLLAPSE_COUNTS_FROM:
            return
        self._empty = 0 if guess.finds_labels else self._empty + 1
        if self._empty == COLLAPSED_AFTER:
            self.collapsed = True
            logger.warning(
                "The network found no label on unlabelled images for %d steps: the rest of the training is supervised. "
                "See whether they show what is to be segmented, or label more of them.",
                COLLAPSED_AFTER,
            )


def guess(logits: Tensor) -> Guess:
    """The label of the largest probability, trusted where that is above ``CONFIDENCE``.

    Args:
        logits: (B, classes, *spatial).

    >>> import torch
    >>> one = guess(torch.tensor([[[0.0, 0.0, 9.0], [9.0, 1.0, 0.0]]]))  # one image of three pixels, one label
    >>> one.label.tolist(), one.trusted.tolist()
    ([[[1, 1, 0]]], [[[True, False, True]]])
    """
    confidence, label = torch.softmax(logits.float(), dim=1).max(dim=1, keepdim=True)
    return Guess(label, confidence > CONFIDENCE)


def copy_paste_box(sides: Sequence[int], rng: np.random.Generator) -> Tensor:
    """A box somewhere in an image: its size a share of the image in ``BOX_SHARE``, its aspects in ``BOX_ASPECT``.

    The aspects are those of each further axis to the first, relative to the image's. Aspects and place are drawn until
    the box lies within the image, as in UST-RUN.

    Args:
        sides: of the image, two or three.

    Returns:
        bool (1, *sides), true inside.

    >>> import numpy as np
    >>> box = copy_paste_box((32, 32), np.random.default_rng(0))
    >>> box.shape, 0.01 < box.float().mean().item() < 0.41
    (torch.Size([1, 32, 32]), True)
    """
    share = rng.uniform(*BOX_SHARE)
    while True:
        aspects = np.array([1.0, *rng.uniform(*BOX_ASPECT, size=len(sides) - 1)])
        shares = share ** (1 / len(sides)) * aspects / aspects.prod() ** (1 / len(sides))
        box = [int(part * side) for part, side in zip(shares, sides, strict=True)]
        begin = [int(rng.integers(side)) for side in sides]
        end = [first + length for first, length in zip(begin, box, strict=True)]
        if all(last <= side for last, side in zip(end, sides, strict=True)):
            return box_between(begin, end, sides)


def box_between(begin: Sequence[int], end: Sequence[int], sides: Sequence[int]) -> Tensor:
    """bool (1, *sides), true from ``begin`` to before ``end`` on each axis."""
    inside = torch.zeros(1, *sides, dtype=torch.bool)
    inside[(slice(None), *map(slice, begin, end))] = True
    return inside


def copy_paste_boxes(like: Tensor, rng: np.random.Generator) -> Tensor:
    """A box for each image of a batch (B, C, *spatial), on its device: bool (B, 1, *spatial)."""
    return torch.stack([copy_paste_box(like.shape[2:], rng) for _ in range(len(like))]).to(like.device)


def mix(outside: Tensor, inside: Tensor, box: Tensor) -> Tensor:
    """Paste the inside of boxes over images or labels.

    Args:
        outside, inside: (B, C, *spatial) of one type.
        box: bool (B, 1, *spatial).
    """
    return torch.where(box, inside, outside)


def mix_guess(outside: Guess, inside: Guess, box: Tensor) -> Guess:
    """As :func:`mix`, of labels and of where they are trusted."""
    return Guess(mix(outside.label, inside.label, box), mix(outside.trusted, inside.trusted, box))


def ema_update(teacher: nn.Module, student: nn.Module, step: int, decay: float = EMA_DECAY) -> None:
    """Let the teacher's weights follow the student's: w = a w + (1 - a) v with a = min(1 - 1 / (step + 1), decay).

    Args:
        step: steps before this one; after the first the teacher is the student.
    """
    kept = min(1.0 - 1.0 / (step + 1), decay)
    with torch.no_grad():
        for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
            slow.lerp_(fast, 1.0 - kept)


def ramp_up(done: float) -> float:
    """Weight of unlabelled losses: exp(-5 (1 - n / RAMP)^2) in part n of RAMP of a training (arXiv 1610.02242).

    Args:
        done: share of the training that is over, in [0, 1].

    >>> round(ramp_up(0.0), 4), round(ramp_up(0.5), 4), ramp_up(1.0)
    (0.0067, 0.2865, 1.0)
    """
    return math.exp(-5.0 * (1.0 - min(math.floor(done * RAMP + 1e-9), RAMP) / RAMP) ** 2)


_dice = DiceLoss(include_background=False, batch=True)  # as ``build_loss``


def trusted_loss(logits: Tensor, target: Guess) -> Tensor:
    """Soft Dice of the labels plus cross-entropy, of the trusted pixels alone; 0 if there is none.

    The cross-entropy is summed over trusted pixels and divided by all, as in UST-RUN: an image of few trusted pixels
    weighs little.

    Args:
        logits: (B, classes, *spatial), float32.
    """
    trusted = target.trusted.float()
    cross_entropy = (F.cross_entropy(logits, target.label[:, 0].long(), reduction="none") * trusted[:, 0]).mean()
    classes = logits.shape[1]
    found, wanted = torch.softmax(logits, dim=1) * trusted, one_hot(target.label, classes) * trusted
    return cross_entropy + _dice(found, wanted)
