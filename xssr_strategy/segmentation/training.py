"""The one training loop: steps, validation and early stopping where asked for, progress, cancellation."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.metrics import DiceMetric
from monai.networks import one_hot
from monai.transforms import Compose
from torch import Tensor, nn

from xssr_strategy.errors import TooLargeError, memory_error
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.inference import build_inferer
from xssr_strategy.segmentation.methods.base import Stage, StepResult, TrainingMethod, Work
from xssr_strategy.segmentation.network import likeliest, without_ignored
from xssr_strategy.segmentation.plan import SegmentationPlan
from xssr_strategy.storage.tensor_files import save_tensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """What is held back to tell when to stop.

    Attributes:
        pairs: at least one, none of which is trained on.
        patience: epochs without a better Dice after which a stage ends; 0 for never.
    """

    pairs: Sequence[LabelledImage]
    patience: int


@dataclass(frozen=True)
class EpochReport:
    """How far a training is, after each epoch.

    Attributes:
        stage: name of the stage.
        epoch: epochs done, over all stages that segment.
        steps: steps done, over all stages that segment.
        losses: name -> mean over the epoch.
        train_dice: mean Dice of the labelled images as augmented, in [0, 1]; None if the method tells none.
        validation_dice: mean Dice of the images held back, in [0, 1]; None without any.
        is_best: whether ``validation_dice`` is the best of this stage.
        parts: of work that optimises nothing, such as a look at every image: parts done and how many there are.
    """

    stage: str
    epoch: int
    steps: int
    losses: Mapping[str, float]
    train_dice: float | None
    validation_dice: float | None
    is_best: bool
    parts: tuple[int, int] | None = None


class TrainingStoppedError(Exception):
    """The caller stopped the training."""


def train(
    method: TrainingMethod,
    data: TrainingData,
    plan: SegmentationPlan,
    seed: int,
    device: torch.device,
    validation: Validation | None = None,
    report: Callable[[EpochReport], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> nn.Module:
    """Train a network by a method: the same data, seed and machine give the same network, bit for bit.

    Args:
        method: says what a step computes.
        data: labelled pairs and unlabelled images.
        plan: geometry of the network, of ``data``'s labelled pairs.
        seed: of weights, order of the images and augmentation.
        device: where to train; on a GPU in bfloat16 where that is safe.
        validation: images held back. A stage then ends early once patience is exhausted, with its best weights.
        report: called after each epoch; computing the Dice that it is told costs a few per cent.
        stopped: asked before each step.

    Returns:
        What the last stage that segments publishes (if none does, the last stage), in evaluation mode, on the device.

    Raises:
        UserError: an image or label cannot be used, or the data do not suffice for the method.
        TooLargeError: a step does not fit into the memory of the GPU or of the machine.
        TrainingStoppedError: ``stopped`` said so; the network is lost.
    """
    published: nn.Module | None = None
    run = _Run(data, plan, device, validation, report, stopped, method.steps_per_epoch)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        try:
            for stage in method.stages(data, plan, seed, device):
                if isinstance(stage, Work):
                    run.work(stage)
                else:
                    run.stage(stage)
                    published = stage.published if stage.segments or published is None else published
        except (MemoryError, RuntimeError) as error:
            reason = memory_error(error)
            if reason is None:
                raise
            where, elsewhere = ("the GPU", "without a GPU") if device.type == "cuda" else ("this machine", "on another")
            raise TooLargeError(
                f"a training step does not fit into the memory of {where} ({_sentence(reason)}); train smaller "
                f"batches (train_batch_size) or images, by the method supervised, which needs least, or {elsewhere}"
            ) from error
    assert published is not None, "a method has at least one stage"
    return published.eval()


def _sentence(error: BaseException) -> str:
    return str(error).split(". ")[0] or type(error).__name__


class _Run:
    """The state of one training across its stages."""

    def __init__(
        self,
        data: TrainingData,
        plan: SegmentationPlan,
        device: torch.device,
        validation: Validation | None,
        report: Callable[[EpochReport], None] | None,
        stopped: Callable[[], bool],
        steps_per_epoch: int,
    ) -> None:
        self._data, self._plan, self._device = data, plan, device
        self._validation, self._report, self._stopped = validation, report, stopped
        self._steps_per_epoch = steps_per_epoch
        self._steps = self._epochs = 0

    def stage(self, stage: Stage) -> None:
        """Run a stage to its end or to its last useful epoch; one that was finished before is taken as it is kept."""
        kept = self._data.stages and self._data.stages / f"{stage.name}.pt"
        if kept and kept.exists() and _taken(stage.published, kept, self._device):
            if stage.segments:
                self._steps += stage.steps
                self._epochs += -(-stage.steps // self._steps_per_epoch)
            return
        self._optimise(stage)
        if kept:
            save_tensors(stage.published.state_dict(), kept)

    def _optimise(self, stage: Stage) -> None:
        best, dice = _Best(self._validation.patience if self._validation else 0), _RunningDice()
        losses: list[Mapping[str, Tensor]] = []
        stage.network.train()
        endless = itertools.chain.from_iterable(itertools.repeat(stage.batches))
        for step, batch in enumerate(itertools.islice(endless, stage.steps), start=1):
            if self._stopped():
                raise TrainingStoppedError
            for part in _parts(batch, stage.updates):
                result = self._step(stage, part)
                if self._report is not None:
                    losses.append({name: loss.detach() for name, loss in result.losses.items()})
                    dice.add(result.logits, result.label)
            stage.schedule.step()
            self._steps += stage.segments
            if step % self._steps_per_epoch == 0 or step == stage.steps:
                self._epochs += stage.segments
                self._end_epoch(stage, best, losses, dice)
                losses, dice = [], _RunningDice()
                stage.network.train()  # after a look at what is held back
                if best.exhausted:
                    break
        if best.weights is not None:
            stage.published.load_state_dict(best.weights)

    def work(self, work: Work) -> None:
        """Do every part; it is told at the start and after each tenth."""
        self._tell(work, 0)
        for done, _ in enumerate(work.parts, start=1):
            if self._stopped():
                raise TrainingStoppedError
            if 10 * done // work.count > 10 * (done - 1) // work.count:
                self._tell(work, done)

    def _tell(self, work: Work, done: int) -> None:
        if self._report is not None:
            parts = (done, work.count)
            self._report(EpochReport(work.name, self._epochs, self._steps, {}, None, None, False, parts))

    def _step(self, stage: Stage, batch: Mapping[str, Tensor]) -> StepResult:
        stage.optimiser.zero_grad()
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda"):
            result = stage.update(batch)
        total = sum(result.losses.values())
        assert isinstance(total, Tensor), "a step has at least one loss"
        total.backward()
        stage.optimiser.step()
        stage.after_step()
        return result

    def _end_epoch(self, stage: Stage, best: _Best, losses: Sequence[Mapping[str, Tensor]], dice: _RunningDice) -> None:
        judged = self._validation if stage.segments else None
        found = None if judged is None else self._validate(stage.published, judged)
        is_best = found is not None and best.update(found, stage.published)
        if self._report is not None:
            names = dict.fromkeys(name for one in losses for name in one)  # a method may drop a loss within an epoch
            means = {name: float(torch.stack([one[name] for one in losses if name in one]).mean()) for name in names}
            self._report(EpochReport(stage.name, self._epochs, self._steps, means, dice.mean(), found, is_best))

    def _validate(self, network: nn.Module, validation: Validation) -> float:
        """Mean Dice over images and labels, on the network's grid."""
        held_back = TrainingData(self._data.preset, validation.pairs, cache=self._data.cache)
        dataset = held_back.pairs(self._plan, lambda read: Compose([read]))
        inferer, dice = build_inferer(self._plan), _RunningDice()
        network.eval()
        for pair in (dataset[place] for place in range(len(dataset))):
            image, label = pair["image"][None].to(self._device), pair["label"][None].to(self._device)
            with (
                torch.no_grad(),
                torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda"),
            ):
                dice.add(torch.as_tensor(inferer(image, network)), label)
        return dice.mean() or 0.0


def _parts(batch: Mapping[str, Tensor], count: int) -> Iterator[Mapping[str, Tensor]]:
    """So many equal parts of a batch, in its order."""
    for part in zip(*(values.tensor_split(count) for values in batch.values()), strict=True):
        yield dict(zip(batch, part, strict=True))


def _taken(network: nn.Module, kept: Path, device: torch.device) -> bool:
    """Load the weights that a finished stage has kept; False, and the stage is run, if they are damaged."""
    try:
        network.load_state_dict(torch.load(kept, map_location=device, weights_only=True))
    except Exception as error:  # whatever torch's unpickler stumbles over
        logger.warning("%s cannot be used (%s): the stage is run again", kept.name, type(error).__name__)
        return False
    return True


class _RunningDice:
    """Mean Dice of the labels, without the background, over all that was added; images without a label do not count.

    Neither do voxels that are ignored.
    """

    def __init__(self) -> None:
        self._metric = DiceMetric(include_background=False)
        self._empty = True

    def add(self, logits: Tensor | None, label: Tensor | None) -> None:
        """Add (B, classes, *spatial) logits with their (B, 1, *spatial) label; nothing where there are none."""
        if logits is None or label is None:
            return
        self._empty = False
        classes = logits.shape[1]
        known, seen = without_ignored(label)
        self._metric(one_hot(likeliest(logits.detach(), 1, keepdim=True) * seen, classes), one_hot(known, classes))

    def mean(self) -> float | None:
        """The mean, or None if nothing was added."""
        return None if self._empty else float(torch.as_tensor(self._metric.aggregate()))


class _Best:
    """The best weights of a stage, and how long nothing has been better."""

    def __init__(self, patience: int) -> None:
        self._patience, self._dice, self._waited = patience, -1.0, 0
        self.weights: dict[str, Tensor] | None = None

    @property
    def exhausted(self) -> bool:
        """Whether to stop."""
        return 0 < self._patience <= self._waited

    def update(self, dice: float, network: nn.Module) -> bool:
        """Note an epoch; whether it is the best so far."""
        if dice <= self._dice:
            self._waited += 1
            return False
        self._dice, self._waited = dice, 0
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
        return True
