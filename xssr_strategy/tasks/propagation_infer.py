"""MONAI Label's InferTask: a volume of which some slices are drawn -> the mask of the whole volume."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from numpy.typing import NDArray

from xssr_strategy.errors import UserError
from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.labels.records import recorded_names
from xssr_strategy.segmentation.propagation.files import propagate_label, read_volume
from xssr_strategy.segmentation.propagation.registration import Registration
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer, write_result

PROPAGATE = "propagate"
"""The name by which viewers ask for it."""

LABEL_NAMES = "names_of_label"
"""In a request: names of the numbers in its label, where they were noted."""

_KEPT = (DefaultLabelTag.ORIGINAL, DefaultLabelTag.FINAL)  # the first of them that an image has


class PropagationInfer(InferTask):
    """Propagate the label that a request brings, or the one that is kept of the image.

    It is listed under scribbles, the one place where 3D Slicer sends what is drawn, and names no labels, since Slicer
    would run any model that does on every image that it opens.

    Args:
        segmentation: whose network, if one is published, says where a label ends.
    """

    def __init__(self, segmentation: SegmentationInfer) -> None:
        super().__init__(
            type=InferType.SCRIBBLES,
            labels=[],
            dimension=3,
            description="From one drawn slice, or several, to the whole volume",
        )
        self._segmentation = segmentation

    def is_valid(self) -> bool:
        """It needs no network."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Propagate.

        Args:
            request: ``image``, path of the volume; ``label``, path of its label; ``result_extension`` and the like.

        Returns:
            The mask's file, and what is told of it: ``engine``, ``seconds``, ``orientation`` and ``drawn`` (places of
            the drawn slices), ``filled`` (how many more hold a label), ``notes``, and ``label_names`` for the viewer.

        Raises:
            UserError: there is no label, it does not fit the volume, or there is nothing to propagate.
        """
        if not request.get("label"):
            raise UserError("there is nothing to propagate: send the drawn slices as label, or submit them first")
        path, label = Path(request["image"]), Path(request["label"])
        began = time.perf_counter()
        volume, engine, labels = read_volume(path), Registration(), tuple(self._segmentation.labels)
        names, expected = tuple(request.get(LABEL_NAMES, ())), self._expected(path, volume)
        try:
            with memory_told(path):
                found = propagate_label(volume, path, label, labels, engine, names, expected)
        except UserError as error:  # a label that was sent has a name that says nothing
            raise UserError(str(error).removeprefix(f"{label}: ")) from None
        told = {
            "engine": engine.name,
            "seconds": round(time.perf_counter() - began, 2),
            "orientation": _ORIENTATIONS[nib.aff2axcodes(volume.affine.numpy())[found.axis]],
            "drawn": list(found.drawn),
            "filled": found.filled,
            "notes": list(found.notes),
            "label_names": dict(self._segmentation.labels),
        }
        return write_result(found.mask, volume, path, request), told

    def _expected(self, path: Path, volume: MetaTensor) -> NDArray[np.uint8] | None:
        """What the published network makes of the volume; None without one that was trained under these settings."""
        try:
            return self._segmentation.mask_of(volume, path)
        except UserError:
            return None


_ORIENTATIONS = dict(zip("LRPAIS", ("sagittal",) * 2 + ("coronal",) * 2 + ("transverse",) * 2, strict=True))


def with_kept_label(request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
    """The request with the label that is kept of its image, if it brings none; with tag ``original`` before others."""
    image = str(request["image"])
    for tag in _KEPT if not request.get("label") else ():
        if known := datastore.get_label_by_image_id(image, tag):
            file = datastore.get_label_uri(known, tag)
            names = recorded_names(datastore.get_label_info(known, tag), Path(file))
            return {**request, "label": file, LABEL_NAMES: names}
    return dict(request)
