"""MONAI Label's TrainTask: the submitted labels, and the unlabelled images if the method uses them -> a U-Net."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.data.utils import partition_dataset
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.others.generic import device_list, name_to_device
from torch import Tensor

from xssr_strategy import __version__
from xssr_strategy.embedding.checkpoint import EncoderCheckpoint
from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import read_image
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.data import TrainingData
from xssr_strategy.segmentation.methods.catalogue import (
    AUTO,
    METHODS,
    SUPERVISED,
    chosen_method,
    encoder_of,
    may_use_unlabelled,
    method_choices,
)
from xssr_strategy.segmentation.methods.mask_autoencoding import WithMaskQuality
from xssr_strategy.segmentation.methods.recipe import RECIPE, STEPS_PER_EPOCH, new_network
from xssr_strategy.segmentation.pair_cache import DiskCache, MemoryCache, NoCache, PairCache
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_from
from xssr_strategy.segmentation.publication import model_id, publish, published_plan, read_json, warm_start
from xssr_strategy.segmentation.training import EpochReport, Validation, train
from xssr_strategy.storage.atomic_files import locked_temporary_folder, remove_unlocked_folders
from xssr_strategy.tasks.kept_stages import kept_stages, training_digest
from xssr_strategy.tasks.training_request import check_ranges, parse_training_request
from xssr_strategy.tasks.training_stats import TrainingStats
from xssr_strategy.tasks.usable_labels import UsableLabels, usable_labels

logger = logging.getLogger(__name__)

VALIDATE_FROM = 50  # labels, our choice; below it a validation share would cost more than it tells
_DISK, _MEMORY, _NONE = "PersistentDataset", "CacheDataset", "Dataset"  # MONAI's names, which viewers show

FindEncoder = Callable[[str, Datastore], EncoderCheckpoint]
"""From the name of an encoder and the datastore to the encoder, which is trained if it is not there."""

Unlabelled = Callable[[Datastore], Mapping[str, Path]]
"""From the datastore to id -> file of the images that a method may learn from without a label."""


class SegmentationTrainer(TrainTask):
    """Train a U-Net on the labels with tag ``final`` and publish it in one step at the end.

    It starts from scratch unless the request says ``pretrained``, sees a fixed number of samples per epoch whatever
    the number of labels, and gives the same network for the same labels, settings and machine. Below
    ``VALIDATE_FROM`` labels all of them train and the last epoch is published; from there on the share ``val_split``
    is held back, training stops early when its mean Dice does not improve, and the best epoch is published.

    Args:
        model_dir: folder for statistics and, while it trains, the cache.
        preset: kind of image.
        labels: names of the labels, without the background.
        publish_path: the model file that inference reads.
        method: training method of a request that names none.
        unlabelled: finds the unlabelled images; by default there are none.
        source_pairs: paths ``image`` and ``label`` of the source, which train beside the submitted labels.
        encoder: finds the encoder of a name, for methods that begin with its weights.
    """

    def __init__(
        self,
        model_dir: Path,
        preset: Preset,
        labels: tuple[str, ...],
        publish_path: Path,
        method: str = SUPERVISED,
        unlabelled: Unlabelled = lambda datastore: {},
        source_pairs: Sequence[Mapping[str, str]] = (),
        encoder: FindEncoder | None = None,
    ) -> None:
        super().__init__(f"Trains a {preset.spatial_dims}-D U-Net on the submitted labels")
        self._defaults: dict[str, Any] = {
            "pretrained": False,
            "max_epochs": METHODS[SUPERVISED if method == AUTO else method].epochs,
            "steps_per_epoch": STEPS_PER_EPOCH,
            "early_stop_patience": 10,
            "val_split": 0.2,
            "train_batch_size": RECIPE.batch_size,
            "seed": 0,
            "method": [method, *(name for name in method_choices() if name != method)],
            "dataset": [_DISK, _MEMORY, _NONE],
        }
        self._stats = Path(model_dir) / "train_stats.json"
        self._caches = Path(model_dir) / "segmentation"
        self._preset, self._names = preset, labels
        self._published = Path(publish_path)
        self._unlabelled = unlabelled
        self._source_pairs = source_pairs
        self._encoder = encoder

    def info(self) -> dict[str, Any]:
        """Description, settings with their defaults, and names of the labels."""
        return {**super().info(), "labels": list(self._names)}

    def config(self) -> dict[str, Any]:
        """Setting -> default; 3D Slicer shows a list as a menu."""
        return {"device": device_list(), **self._defaults}

    def stats(self) -> dict[str, Any]:
        """How far the training is, or how the last one ended; empty before the first."""
        return read_json(self._stats)

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
            settings = self.checked(request)
            labels = usable_labels(datastore, self._preset, self._names, self._source_pairs, self._published)
            with self._cache(settings["dataset"]) as cache:
                self._train(settings, labels, cache, datastore)
        except UserError as error:
            logger.error("no network was trained: %s", error)
            raise
        return self.stats()

    def checked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a request.

        Raises:
            UserError: an unusable setting.
        """
        asked = {key: request[key] for key in self._defaults if key in request}
        settings = parse_training_request(self._defaults, asked)
        check_ranges(settings)
        return {**settings, "device": name_to_device(request.get("device") or device_list())}

    def _train(
        self,
        settings: Mapping[str, Any],
        labels: UsableLabels,
        cache: PairCache,
        datastore: Datastore,
    ) -> None:
        asked, epochs, seed = settings["method"], settings["max_epochs"], settings["seed"]
        unlabelled = self._without_label(asked, labels, datastore)
        name = chosen_method(asked, len(labels.pairs), len(unlabelled), self._preset.spatial_dims)
        logger.info("training by %s, with %d unlabelled images", name, len(unlabelled))
        if asked not in (name, AUTO):
            logger.warning("%s has no unlabelled image to learn from: the training is supervised", asked)
        if epochs == self._defaults["max_epochs"]:  # viewers send back what they show
            epochs = METHODS[name].epochs
        plan = METHODS[name].planned(plan_from(labels.pairs or labels.source, self._preset, self._names), self._preset)
        trained_on, held_back = _held_back(labels.pairs, settings["val_split"], seed)
        from_before = self._start(plan, seed) if settings["pretrained"] else None
        method = WithMaskQuality(
            METHODS[name](
                steps=epochs * settings["steps_per_epoch"],
                steps_per_epoch=settings["steps_per_epoch"],
                recipe=replace(RECIPE, batch_size=settings["train_batch_size"]),
                start=from_before,
            )
        )
        told = {"labels": labels.told, "method": name}
        stats = TrainingStats(self._stats, epochs, settings["steps_per_epoch"], bool(held_back), told)

        def report(one: EpochReport) -> None:
            logger.info("epoch %d/%d: %s", one.epoch, epochs, _text(one))
            stats.add(one)

        stats.write()
        used = unlabelled if method.uses_unlabelled else {}
        start = model_id(self._published) if settings["pretrained"] else None
        encoder, weights = self._encoder_of(name, datastore) if from_before is None else (None, None)
        facts = {
            **settings,
            "method": (name, METHODS[name].version),
            "start": (start, encoder),
            "epochs": epochs,
            "version": __version__,
        }
        digest = training_digest(facts, plan, [*labels.pairs, *labels.source], used)
        with kept_stages(self._caches, digest) as stages:
            network = train(
                method,
                TrainingData(self._preset, trained_on, used, cache, labels.source, stages, weights),
                plan,
                seed,
                torch.device(settings["device"] if torch.cuda.is_available() else "cpu"),
                Validation(held_back, settings["early_stop_patience"]) if held_back else None,
                report,
            )
            judge = None if method.autoencoder is None else method.autoencoder.state_dict()
            publish(network.state_dict(), plan, self._published, judge)
        logger.info("published %s", self._published)
        stats.write(finished=True)

    def _encoder_of(self, method: str, datastore: Datastore) -> tuple[str | None, Mapping[str, Tensor] | None]:
        """Id and weights of the encoder that a method begins with; None and None if it begins with none."""
        name = encoder_of(method)
        if name is None or self._encoder is None:
            return None, None
        found = self._encoder(name, datastore)
        return found.id, found.encoder.state_dict()

    def _without_label(self, method: str, labels: UsableLabels, datastore: Datastore) -> Mapping[str, Path]:
        """The unlabelled images, if the method may use them."""
        if not may_use_unlabelled(method):
            return {}
        of_labels = {pair.image for pair in (*labels.pairs, *labels.source)}
        found = {image: path for image, path in self._unlabelled(datastore).items() if str(path) not in of_labels}
        return found if any(self._can_be_read(path) for path in found.values()) else {}

    def _can_be_read(self, path: Path) -> bool:
        try:
            conform(read_image(path), self._preset, path)
        except UserError as error:
            logger.warning("not learnt from: %s", error)
            return False
        return True

    @contextmanager
    def _cache(self, kind: str) -> Iterator[PairCache]:
        """Where images are kept during a training; what a killed one left is removed."""
        self._caches.mkdir(parents=True, exist_ok=True)
        remove_unlocked_folders(self._caches, "cache_*")
        if kind != _DISK:
            yield MemoryCache(torch.device("cpu")) if kind == _MEMORY else NoCache()
            return
        # Each volume is read and resampled once and then taken from disk: memory stays at a few volumes.
        folder = self._caches / f"cache_{os.getpid()}_{time.time_ns()}"
        with locked_temporary_folder(folder):
            yield DiskCache(folder)

    def _start(self, plan: SegmentationPlan, seed: int) -> Mapping[str, Tensor] | None:
        """The weights of the published network, if it fits the plan."""
        network = new_network(plan, seed)
        try:
            if self._published.exists() and (before := published_plan(self._published).labels) != plan.labels:
                names = ",".join(before), ",".join(plan.labels)
                logger.warning(
                    "the published network, of %s, does not fit the labels %s: training from scratch", *names
                )
                return None
            if self._published.exists() and warm_start(network, self._published):
                logger.info("continuing from %s, not from an encoder", self._published)
                return network.state_dict()
        except UserError as error:
            logger.warning("%s", error)
        logger.warning("%s is missing or does not fit the labels or the method; training from scratch", self._published)
        return None


def _held_back(
    pairs: Sequence[LabelledImage], share: float, seed: int
) -> tuple[Sequence[LabelledImage], Sequence[LabelledImage]]:
    """What is trained on, and what is held back to tell when to stop."""
    if len(pairs) < VALIDATE_FROM or share == 0:
        return pairs, []
    training, validation = partition_dataset(pairs, ratios=[1 - share, share], shuffle=True, seed=seed)
    return training, validation


def _text(report: EpochReport) -> str:
    if report.parts is not None:
        return f"{report.stage}, {report.parts[0]} of {report.parts[1]}"
    shown = {**report.losses, "train_mean_dice": report.train_dice, "val_mean_dice": report.validation_dice}
    return ", ".join(f"{name} {value:.4f}" for name, value in shown.items() if value is not None)
