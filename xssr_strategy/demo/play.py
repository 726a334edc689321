"""Six rounds of annotation with a strategy, six with random picks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xssr_strategy.demo.annotator import RestAnnotator, unseen_dice

Pick = Callable[[int], dict[str, Any]]
"""Round (from 0) -> the answer for the next sample, with ``id`` and ``reason``."""


@dataclass(frozen=True)
class Played:
    """The images annotated, in order, and the mean Dice on the unseen images after each."""

    picks: tuple[str, ...]
    dice: tuple[float, ...]


def play(
    annotator: RestAnnotator,
    pick: Pick,
    rounds: int,
    labels: Path,
    unseen: Mapping[Path, Path],
    training: Mapping[str, Any],
    say: Callable[[str], None],
) -> Played:
    """Next sample, submit the known label, train, measure; again and again.

    Args:
        labels: folder of the known labels, ``<id>.nii.gz``.
        unseen: image -> label of cases outside the pool.
        training: parameters of the training.
        say: gets one line per round.
    """
    picks: list[str] = []
    dice: list[float] = []
    for number in range(rounds):
        begin = time.monotonic()
        answer = pick(number)
        annotator.submit(answer["id"], labels / f"{answer['id']}.nii.gz")
        annotator.train(timeout=600, **training)
        picks.append(answer["id"])
        dice.append(unseen_dice(annotator, unseen))
        seconds = time.monotonic() - begin
        say(f"round {number + 1}: {answer['id']}, Dice {dice[-1]:.3f} ({seconds:.0f} s). {answer['reason']}")
    return Played(tuple(picks), tuple(dice))


def in_order(images: Sequence[str], reason: str) -> Pick:
    """Picks that are fixed beforehand."""
    return lambda number: {"id": images[number], "reason": reason}
