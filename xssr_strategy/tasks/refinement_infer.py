"""MONAI Label's InferTask: the mask of the published network, refined by SAM 2."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.images.reading import read_image
from xssr_strategy.segmentation.refinement.files import refine_mask
from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter
from xssr_strategy.tasks.disconnect import stop_if_disconnected
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer, write_result

REFINED = "segmentation_refined"
"""The name by which viewers ask for it."""


class RefinementInfer(InferTask):
    """Segment an image, and refine the mask slice by slice.

    Args:
        segmentation: whose network makes the coarse mask.
        segmenter: makes what segments the thing in a box; called when it is needed for the first time.
    """

    def __init__(self, segmentation: SegmentationInfer, segmenter: Callable[[], BoxSegmenter]) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=dict(segmentation.labels),
            dimension=segmentation.preset.spatial_dims,
            description="The network's mask, refined by SAM 2; without a GPU 10 to 30 s a slice",
        )
        self.segmentation, self._segmenter = segmentation, segmenter

    def is_valid(self) -> bool:
        """Whether a network is published."""
        return self.segmentation.is_valid()

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment and refine.

        Args:
            request: ``image``, path of the image; ``result_extension`` and the like.

        Returns:
            The mask's file, and what is told of it: ``engine``, ``seconds``, ``refined`` and ``kept`` (components of
            slices that were replaced and that stayed), and ``label_names`` for the viewer.

        Raises:
            UserError: no network is published, it was trained under other settings, or the image cannot be used.
        """
        path = Path(request["image"])
        began = time.perf_counter()
        with memory_told(path):
            image = read_image(path)
            coarse = self.segmentation.mask_of(image, path)
            segmenter = self._segmenter()
            found = refine_mask(image, path, coarse, segmenter, self.segmentation.preset, stop_if_disconnected)
        told = {
            "engine": segmenter.name,
            "seconds": round(time.perf_counter() - began, 2),
            "refined": found.refined,
            "kept": found.kept,
            "label_names": dict(self.segmentation.labels),
        }
        return write_result(found.mask, image, path, request), told
