"""The statistics of a segmentation training, under the names that MONAI Label's viewers show."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xssr_strategy.segmentation.publication import write_json
from xssr_strategy.segmentation.training import EpochReport

TRAIN_DICE, VALIDATION_DICE = "train_mean_dice", "val_mean_dice"


class TrainingStats:
    """Writes ``train_stats.json`` as a training goes on; another process reads it meanwhile.

    Args:
        path: the file.
        max_epochs, steps_per_epoch: of the training.
        validated: whether images are held back.
        facts: what else is told: the labels, the method.
    """

    def __init__(
        self, path: Path, max_epochs: int, steps_per_epoch: int, validated: bool, facts: Mapping[str, Any]
    ) -> None:
        self._path, self._facts = path, dict(facts)
        self._max_epochs, self._steps_per_epoch = max_epochs, steps_per_epoch
        self._started = time.time()
        self._reports: list[EpochReport] = []
        self._metrics: dict[str, _Metric] = {"train": _Metric(TRAIN_DICE)}
        if validated:
            self._metrics["eval"] = _Metric(VALIDATION_DICE)

    def add(self, report: EpochReport) -> None:
        """Note an epoch, and write."""
        self._reports.append(report)
        self._metrics["train"].add(report.train_dice, report.epoch)
        if "eval" in self._metrics:
            self._metrics["eval"].add(report.validation_dice, report.epoch)
        self.write()

    def write(self, finished: bool = False) -> None:
        """Write what there is; ``total_time`` stands there once the training has ended."""
        last = self._reports[-1] if self._reports else None
        epoch, seconds = (last.epoch if last else 0), int(time.time() - self._started)
        shown = str(datetime.timedelta(seconds=seconds))
        deciding = self._metrics.get("eval", self._metrics["train"])
        stats = {
            "rank": 0,
            "current_epoch": epoch,
            "current_iteration": last.steps if last else 0,
            "total_epochs": self._max_epochs,
            "total_iterations": self._steps_per_epoch,
            "epoch": epoch,
            "max_epochs": self._max_epochs,
            "start_ts": int(self._started),
            "current_time": shown,
            "best_metric": max(deciding.best, 0.0),  # -1 before the first epoch, which viewers would show
            **{name: metric.described() for name, metric in self._metrics.items()},
            "stage": last.stage if last else "",
            "parts": list(last.parts) if last and last.parts else [],
            "losses": dict(last.losses) if last else {},
            **self._facts,
        }
        if finished:
            stats["total_time"] = shown
        write_json(self._path, stats)


class _Metric:
    """A Dice as it changes, with its best epoch."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._now: dict[str, float] = {}
        self.best, self._best_epoch = -1.0, -1

    def add(self, value: float | None, epoch: int) -> None:
        if value is None:
            return
        self._now = {self._name: value}
        if value > self.best:
            self.best, self._best_epoch = value, epoch

    def described(self) -> dict[str, Any]:
        return {
            "metrics": self._now,
            "key_metric_name": self._name,
            "best_metric": self.best,
            "best_metric_epoch": self._best_epoch,
        }
