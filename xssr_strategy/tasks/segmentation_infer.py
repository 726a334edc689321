"""MONAI Label's InferTask: an image and the published U-Net -> a mask on the image's own voxels."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Transform
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.tasks.infer.basic_infer import BasicInferTask
from monailabel.utils.others.generic import strtobool
from numpy.typing import NDArray
from torch import Tensor, nn

from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import conform
from xssr_strategy.images.preset import Preset
from xssr_strategy.segmentation.geometry import network_image, original_label
from xssr_strategy.segmentation.inference import Predictor, build_inferer
from xssr_strategy.segmentation.mask_files import mask_extension, write_mask
from xssr_strategy.segmentation.mask_quality import MaskAutoencoder
from xssr_strategy.segmentation.plan import SegmentationPlan, check_plan
from xssr_strategy.segmentation.planned_network import build_network
from xssr_strategy.segmentation.publication import (
    brought_plan,
    load_judged_model,
    publish,
    published_plan,
    warm_start,
)
from xssr_strategy.segmentation.transforms import read_for_network


class SegmentationInfer(BasicInferTask):
    """Segment an image with the published network; listed by the server only once there is one."""

    def __init__(self, path: Path, preset: Preset, labels: tuple[str, ...], of_source: int = 0) -> None:
        """Register the task.

        Args:
            path: the model file that the trainer publishes.
            preset: kind of image.
            labels: names of the labels; label i of the mask is ``labels[i - 1]``.
            of_source: labels of the source, from which a first network can be trained.
        """
        super().__init__(
            path=str(path),
            network=None,
            type=InferType.SEGMENTATION,
            labels={name: index for index, name in enumerate(labels, start=1)},
            dimension=preset.spatial_dims,
            description=f"{preset.spatial_dims}-D U-Net trained on the submitted labels",
        )
        self._published = Path(path)
        self.preset = preset
        self._of_source = of_source
        self._read: tuple[int, LoadedModel] | None = None

    def is_valid(self) -> bool:
        """Whether a model is published."""
        return self._published.exists()

    @property
    def untrained(self) -> str:
        """What to do while no model is published."""
        first = "submit labels and train 'segmentation' first"
        if self._of_source:
            first = f"train 'segmentation' first, which has {self._of_source} labels of the source to learn from"
        return f"there is no segmentation model yet: {first}"

    def replace(self, file: Path) -> Path:
        """Publish a network that somebody brings, in one step; where it is then.

        It keeps the plan that it was trained by, if its file holds one; without, it gets that of the present network.

        Raises:
            UserError: it cannot be read, was trained under other settings, or does not fit its plan; the published one
                stays.
        """
        present = published_plan(self._published)
        plan = brought_plan(file) or present
        if plan.labels != present.labels:
            raise UserError(
                f"the uploaded network was trained for the labels {','.join(plan.labels)} and the present one for "
                f"{','.join(present.labels)}; train here instead"
            )
        if plan.preset != present.preset:
            raise UserError(
                f"the uploaded network was trained with the preset {plan.preset} and the present one with "
                f"{present.preset}; train here instead"
            )
        network = build_network(plan)
        if not warm_start(network, file):
            raise UserError("the uploaded network does not fit the plan of the present one; train here instead")
        publish(network.state_dict(), plan, self._published)
        return self._published

    def pre_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        """Read the image.

        Raises:
            UserError: no model, or one that was trained under other settings.
        """
        return [ReadForNetwork(self.preset, self._checked_model())]

    def _checked_model(self) -> LoadedModel:
        if not self.is_valid():
            raise UserError(self.untrained)
        published = self._model()
        check_plan(published.plan, self.preset, tuple(self.labels))
        return published

    def _model(self) -> LoadedModel:
        """What is published now; read once."""
        written = self._published.stat().st_mtime_ns
        if self._read is None or self._read[0] != written:
            self._read = written, self._load()
        return self._read[1]

    def _load(self) -> LoadedModel:
        return LoadedModel(*load_judged_model(self._published))

    def _get_network(self, device: str, data: Any) -> nn.Module:
        """The network whose plan the image was read for, on this device.

        The base class would take what was published meanwhile, and unpickle whatever torch's environment variables
        allow.
        """
        read: nn.Module = data["network"]
        kept = self._networks.get(device)
        if kept is None or kept[0] is not read:
            kept = self._networks[device] = read, copy.deepcopy(read).to(device)
        loaded: nn.Module = kept[1]
        return loaded

    def inferer(self, data: dict[str, Any]) -> Inferer:
        """One pass in 2-D, overlapping windows in 3-D."""
        return build_inferer(data["plan"])

    def post_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        """The quality of the mask; then back onto the voxels of the file."""
        return [JudgeMask(tuple(self.labels)), ToOriginalGrid()]

    def writer(self, data: dict[str, Any], extension: str | None = None, dtype: Any = None) -> tuple[str, dict]:
        """Write the mask in the image's format, or the one that the request's ``result_extension`` names.

        Pictures give PNG; DICOM and whatever else has no lossless form of its own gives .nii.gz.

        Returns:
            The file, and what is told of the mask: ``quality`` in [0, 1] and ``label_quality``, name -> quality, unless
            the network has nothing to judge its masks by.
        """
        given = {"result_extension": extension, "result_dtype": dtype}
        asked = {**data, **{key: value for key, value in given.items() if value}}
        file = write_result(data["pred"].numpy(), data["original"], Path(data["image_path"]), asked)
        return file, data.get("told", {})

    def mask_of(self, volume: MetaTensor, path: Path) -> NDArray[np.uint8]:
        """uint8 (*spatial) mask of an image as ``read_image`` gives it, on its own voxels.

        Raises:
            UserError: no model, or one that was trained under other settings.
        """
        network, plan, _ = self._checked_model()
        seen = network_image(conform(volume, self.preset, path), self.preset, plan)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        logits = Predictor(copy.deepcopy(network).to(device), plan, device)(seen)
        return original_label(logits, volume.affine.numpy(), volume.shape[1:]).numpy()


def write_result(mask: NDArray[Any], original: MetaTensor, source: Path, asked: Mapping[str, Any]) -> str:
    """Write a mask (*spatial) of an image into a temporary file, whose name is returned.

    Args:
        mask: on the voxels of the image.
        original: the image as it is stored.
        source: its file.
        asked: ``result_extension``, ``result_dtype`` and ``result_compress`` of the request.
    """
    handle, name = tempfile.mkstemp(suffix=mask_extension(source, original, asked.get("result_extension")))
    os.close(handle)
    array = mask.astype(np.dtype(asked.get("result_dtype") or "uint8"))
    write_mask(array, original, source, name, compress=bool(strtobool(asked.get("result_compress"))))
    return name


class LoadedModel(NamedTuple):
    """What a model file holds."""

    network: nn.Module
    plan: SegmentationPlan
    judge: MaskAutoencoder | None = None


class ReadForNetwork(Transform):
    """{"image": path} -> "image" as the network sees it, "original" as it is stored; what is published, for later."""

    def __init__(self, preset: Preset, model: LoadedModel) -> None:
        self.preset = preset
        self.model = model

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        image, original = read_for_network(data["image"], self.preset, self.model.plan)
        return {**data, "image": image, "original": original, **self.model._asdict()}


class JudgeMask(Transform):
    """Logits "pred" (classes, *grid) -> "told": the quality of their mask and of each label; empty without a judge."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        judge: MaskAutoencoder | None = data["judge"]
        if judge is None:
            return {**data, "told": {}}
        qualities = judge.quality_of_logits(data["pred"]).tolist()
        told = {"quality": fmean(qualities), "label_quality": dict(zip(self.labels, qualities, strict=True))}
        return {**data, "told": told}


class ToOriginalGrid(Transform):
    """Logits "pred" (classes, *grid) -> label "pred" (*spatial) on the voxels of "original"."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        original: MetaTensor = data["original"]
        label: Tensor = original_label(data["pred"], original.affine.numpy(), original.shape[1:])
        return {**data, "pred": label}
