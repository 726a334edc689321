"""MONAI Label's TrainTask: the submitted labels -> a published U-Net."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset
from monai.data.utils import partition_dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler, stopping_fn_from_metric
from monai.inferers import Inferer
from monai.transforms import AsDiscreted, Compose
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.train.basic_train import BasicTrainTask, Context
from monailabel.tasks.train.handler import prepare_stats
from monailabel.utils.others.generic import device_list
from torch import nn

from xssr_strategy.datastores.crash_safe import CrashSafeDatastore
from xssr_strategy.errors import UserError
from xssr_strategy.images.preset import Preset
from xssr_strategy.labels.reading import usable_pairs
from xssr_strategy.segmentation.inference import build_inferer
from xssr_strategy.segmentation.methods.recipe import MAX_EPOCHS, RECIPE, STEPS_PER_EPOCH, epoch_loader, new_network
from xssr_strategy.segmentation.network import build_loss
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.publication import publish, warm_start, write_json
from xssr_strategy.segmentation.transforms import training_transforms, validation_transforms
from xssr_strategy.storage.atomic_files import locked_temporary_folder, remove_unlocked_folders
from xssr_strategy.tasks.training_request import check_ranges, parse_training_request

logger = logging.getLogger(__name__)

VALIDATE_FROM = 50  # labels, our choice; below it a validation share would cost more than it tells

# Settings that the stock code asks for.
_NOT_ON_OFFER = {
    "name": "segmentation",
    "val_batch_size": 1,  # volumes differ in shape
    "multi_gpu": False,  # a few dozen labels do not fill one GPU
    "dataloader": "ThreadDataLoader",
    "tracking": "None",
}


class SegmentationTrainer(BasicTrainTask):
    """Train a U-Net on the labels with tag ``final`` and publish it in one step at the end.

    It starts from scratch unless the request says ``pretrained``, sees a fixed number of samples per epoch whatever
    the number of labels, and gives the same network for the same labels, settings and machine. Below
    ``VALIDATE_FROM`` labels all of them train and the last epoch is published; from there on the share ``val_split``
    is held back, training stops early when its mean Dice does not improve, and the best epoch is published.
    """

    def __init__(self, model_dir: Path, preset: Preset, labels: tuple[str, ...], publish_path: Path) -> None:
        """Register the task.

        Args:
            model_dir: for statistics and, while it trains, the cache.
            preset: kind of image.
            labels: names of the labels, without the background.
            publish_path: the model file that inference reads.
        """
        super().__init__(
            str(model_dir),
            description=f"Trains a {preset.spatial_dims}-D U-Net on the submitted labels",
            labels=list(labels),
        )
        # In place of the stock settings, some of which (multi-GPU, MLflow) do not apply here.
        self._defaults: dict[str, Any] = {
            "pretrained": False,
            "max_epochs": MAX_EPOCHS,
            "steps_per_epoch": STEPS_PER_EPOCH,
            "early_stop_patience": 10,
            "val_split": 0.2,
            "train_batch_size": RECIPE.batch_size,
            "seed": 0,
            "dataset": ["PersistentDataset", "CacheDataset", "Dataset"],
        }
        self._config = {"device": device_list(), **self._defaults}  # the stock code knows what to make of a device
        self._preset = preset
        self._names = labels
        self._published = Path(publish_path)
        self._plan: SegmentationPlan | None = None
        self._labels: dict[str, Any] = {}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Args:
            request: overrides of ``config()``; viewers may send numbers as text and choices as lists.
            datastore: where the labels are.

        Returns:
            The statistics, as ``stats()``.

        Raises:
            UserError: an unusable setting or no usable label; also logged in one line.
        """
        try:
            super().__call__({**self.checked(request), "model": request.get("model")}, datastore)
        except UserError as error:
            logger.error("training was not started: %s", error)
            raise
        return self.stats()

    def checked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a request, and none that the stock code would take besides.

        Raises:
            UserError: an unusable setting.
        """
        taken = {key: request[key] for key in ("device", *self._defaults) if key in request}
        settings = parse_training_request(self._defaults, taken)
        check_ranges(settings)
        return {**settings, **_NOT_ON_OFFER}

    def pre_process(self, request: Mapping[str, Any], datastore: Datastore) -> list[dict[str, str]]:
        """Check every label against its image and fix the plan."""
        pairs, left_out = usable_pairs(datastore.datalist(), self._preset, self._names)
        if isinstance(datastore, CrashSafeDatastore):
            left_out += datastore.unmatched_labels()
        self._labels = {
            "trained_on": len(pairs),
            "left_out": [reason for _, reason in left_out],
            "remarks": [f"{pair.label}: {pair.remark}" for pair in pairs if pair.remark],
        }
        logger.info("training on %d labels; %d left out", len(pairs), len(left_out))
        self._plan = plan_from(pairs, self._preset, self._names)
        return [{"image": pair.image, "label": pair.label} for pair in pairs]

    def partition_datalist(self, context: Context, shuffle: bool = True) -> tuple[list, list]:
        share = context.request["val_split"]
        if len(context.datalist) < VALIDATE_FROM or share == 0:
            return context.datalist, []
        training, validation = partition_dataset(
            context.datalist, ratios=[1 - share, share], shuffle=shuffle, seed=context.request["seed"]
        )
        return training, validation

    def train(self, rank: int, world_size: int, request: dict[str, Any], datalist: list) -> dict[str, Any]:
        cache = Path(self.get_cache_dir(request))
        remove_unlocked_folders(cache.parent, "cache_*")
        with (
            locked_temporary_folder(cache),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        ):
            return super().train(rank, world_size, request, datalist)

    def network(self, context: Context) -> nn.Module:
        network = new_network(self._planned(), context.request["seed"])
        if context.pretrained:
            self._warm_start(network)
        return network

    def optimizer(self, context: Context) -> torch.optim.Optimizer:
        return RECIPE.optimiser(context.network)

    def loss_function(self, context: Context) -> nn.Module:
        return build_loss()

    def train_pre_transforms(self, context: Context) -> Compose:
        return training_transforms(self._preset, self._planned(), context.request["seed"])

    def train_post_transforms(self, context: Context) -> Compose:
        classes = len(self._names) + 1
        return Compose([AsDiscreted(("pred", "label"), argmax=(True, False), to_onehot=classes)])

    def val_pre_transforms(self, context: Context) -> Compose:
        return validation_transforms(self._preset, self._planned())

    def val_inferer(self, context: Context) -> Inferer:
        return build_inferer(self._planned())

    def lr_scheduler_handler(self, context: Context) -> LrScheduleHandler:
        steps = context.max_epochs * context.request["steps_per_epoch"]
        schedule = RECIPE.schedule(context.optimizer, steps)
        return LrScheduleHandler(schedule, print_lr=False, epoch_level=False)  # type: ignore[arg-type]  # an old alias in MONAI

    def train_data_loader(self, context: Context, num_workers: int = 0, shuffle: bool = True) -> DataLoader:
        dataset, _ = self._dataset(context, context.train_datalist, is_train=True)
        steps, seed = context.request["steps_per_epoch"], context.request["seed"]
        return epoch_loader(dataset, steps, context.train_batch_size, seed, num_workers)

    def _dataset(self, context: Context, datalist: list, is_train: bool, replace_rate: float = 0.25) -> tuple:
        transforms = self.train_pre_transforms(context) if is_train else self.val_pre_transforms(context)
        if context.dataset_type == "PersistentDataset":
            # Each volume is read and resampled once and then taken from disk: memory stays at a few volumes.
            return PersistentDataset(datalist, transforms, cache_dir=Path(context.cache_dir)), datalist
        return {"CacheDataset": CacheDataset, "Dataset": Dataset}[context.dataset_type](datalist, transforms), datalist

    # The engines are built here because the stock ones carry handlers that leave checkpoints behind.

    def _create_evaluator(self, context: Context) -> SupervisedEvaluator | None:
        if not context.val_datalist:
            return None
        return SupervisedEvaluator(
            device=context.device,
            val_data_loader=self.val_data_loader(context),
            network=context.network,
            inferer=self.val_inferer(context),
            postprocessing=self.val_post_transforms(context),
            key_val_metric=self.val_key_metric(context),
            amp=context.device.type == "cuda",
        )

    def _create_trainer(self, context: Context) -> SupervisedTrainer:
        handlers: list[Any] = [self.lr_scheduler_handler(context)]
        if context.evaluator:
            handlers.append(ValidationHandler(interval=1, validator=context.evaluator))
        return SupervisedTrainer(
            device=context.device,
            max_epochs=context.max_epochs,
            train_data_loader=self.train_data_loader(context),
            network=context.network,
            optimizer=context.optimizer,
            loss_function=self.loss_function(context),
            inferer=self.train_inferer(context),
            postprocessing=self.train_post_transforms(context),
            key_train_metric=self.train_key_metric(context),
            train_handlers=handlers,
            amp=context.device.type == "cuda",
        )

    def finalize(self, context: Context) -> None:
        """Attach early stopping, the statistics of each epoch, and the publication at the end."""
        patience = context.request["early_stop_patience"]
        if context.evaluator and patience > 0:
            score = stopping_fn_from_metric(self.VAL_METRIC_MEAN_DICE)
            stopping = EarlyStopping(patience=patience, score_function=score, trainer=context.trainer)
            context.evaluator.add_event_handler(Events.COMPLETED, stopping)
        best: dict[str, torch.Tensor] = {}

        def start(engine: Engine) -> None:
            self._write_stats(context, finished=False)

        def end_epoch(engine: Engine) -> None:
            state = engine.state
            logger.info("epoch %d/%d: %s", state.epoch, state.max_epochs, _metrics_text(context))
            if context.evaluator and context.evaluator.state.best_metric_epoch == state.epoch:
                best.update(
                    {name: value.detach().cpu().clone() for name, value in context.network.state_dict().items()}
                )
            self._write_stats(context, finished=False)

        def end(engine: Engine) -> None:
            publish(best or context.network.state_dict(), self._planned(), self._published)
            logger.info("published %s", self._published)
            self._write_stats(context, finished=True)

        context.trainer.add_event_handler(Events.STARTED, start)
        context.trainer.add_event_handler(Events.EPOCH_COMPLETED, end_epoch)
        context.trainer.add_event_handler(Events.COMPLETED, end)

    def _planned(self) -> SegmentationPlan:
        assert self._plan is not None, "pre_process makes the plan"
        return self._plan

    def _warm_start(self, network: nn.Module) -> None:
        try:
            if self._published.exists() and warm_start(network, self._published):
                logger.info("continuing from %s", self._published)
                return
        except UserError as error:
            logger.warning("%s", error)
        logger.warning("%s is missing or does not fit the labels; training from scratch", self._published)

    def _write_stats(self, context: Context, finished: bool) -> None:
        stats = prepare_stats(context.start_ts, context.trainer, context.evaluator)
        stats["labels"] = self._labels
        stats["max_epochs"] = context.max_epochs
        stats["best_metric"] = max(stats["best_metric"], 0.0)  # -1 before the first epoch, which viewers would show
        seconds = str(datetime.timedelta(seconds=int(time.time() - context.start_ts)))
        stats.pop("total_time", None)  # the stock code sets it before the model is published
        stats["current_time"] = seconds
        if finished:
            stats["total_time"] = seconds
        write_json(Path(self._stats_path), stats)


def _metrics_text(context: Context) -> str:
    engines = [context.trainer] + ([context.evaluator] if context.evaluator else [])
    return ", ".join(f"{name} {float(value):.4f}" for engine in engines for name, value in engine.state.metrics.items())
