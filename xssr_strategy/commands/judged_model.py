"""A trained network with what judges its masks, as the commands ``review`` and ``check`` use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

from xssr_strategy.errors import UserError
from xssr_strategy.images.detect import preset_by_name
from xssr_strategy.images.preprocessing import conform, scale_intensity
from xssr_strategy.images.reading import read_image
from xssr_strategy.segmentation.geometry import network_image, original_label
from xssr_strategy.segmentation.inference import Predictor
from xssr_strategy.segmentation.mask_files import mask_extension, write_mask
from xssr_strategy.segmentation.publication import load_judged_model
from xssr_strategy.simulation.thumbnails import overlay


class JudgedModel:
    """What a model file holds, ready to segment and to judge.

    Args:
        file: of the model.

    Attributes:
        preset: kind of image that it was trained on.
        plan: geometry of the network, and names of the labels.
        judge: of masks.

    Raises:
        UserError: the file is missing or damaged, or has nothing to judge masks by.
    """

    def __init__(self, file: Path) -> None:
        network, self.plan, judge = load_judged_model(file)
        if judge is None:
            raise UserError(f"{file}: the network has nothing to judge masks by; train again, and it will.")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.preset, self.judge = preset_by_name(self.plan.preset), judge.to(device)
        self._predict = Predictor(network.to(device), self.plan, device)

    def mask(self, image: MetaTensor) -> Tensor:
        """uint8 (*spatial) mask of an image (C, *spatial) as ``conform`` gives it."""
        logits = self._predict(network_image(image, self.preset, self.plan))
        return original_label(logits, image.affine.numpy(), image.shape[1:])

    def read(self, path: Path) -> MetaTensor:
        """An image (C, *spatial), conformed.

        Raises:
            UserError: it cannot be read.
        """
        return conform(read_image(path), self.preset, path)

    def picture(self, image: MetaTensor, mask: Tensor | NDArray[np.uint8], other: Tensor | None = None) -> bytes:
        """PNG of a conformed image with the outline of a mask, and dashed that of another."""
        shown = MetaTensor(scale_intensity(image.as_tensor(), self.preset), affine=image.affine)
        truth, prediction = (None, mask) if other is None else (mask, other)
        return overlay(shown, truth, prediction, self.plan.labels)

    def write(self, path: Path, stem: Path) -> tuple[Path, NDArray[np.uint8]]:
        """Write the mask of an image on the voxels of its file.

        Args:
            path: of the image.
            stem: of the mask's file, without the ending.

        Returns:
            The file, and what it holds.
        """
        original = read_image(path)
        logits = self._predict(network_image(conform(original, self.preset, path), self.preset, self.plan))
        mask = original_label(logits, original.affine.numpy(), original.shape[1:]).numpy()
        file = stem.with_name(stem.name + mask_extension(path, original))
        write_mask(mask, original, path, str(file), compress=True)
        return file, mask
