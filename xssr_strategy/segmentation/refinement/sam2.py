"""SAM 2 as what segments the thing in a box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter
from xssr_strategy.segmentation.sam2 import as_picture, load_boxes


class Sam2Boxes(BoxSegmenter):
    """SAM 2 (Ravi et al. 2024, arXiv 2408.00714), prompted by boxes; PolyCL (arXiv 2505.19208) refines masks so.

    Args:
        folder: of the weights.
        side: of what SAM 2 sees, in pixels; 0 for that of the training.
        device: where to compute; by default on a GPU if there is one.

    Raises:
        UserError: the weights are missing or damaged, or transformers is not installed.
    """

    name = "sam2"

    def __init__(self, folder: Path, side: int = 0, device: torch.device | None = None) -> None:
        device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._sam2 = load_boxes(folder, device, side)

    @torch.inference_mode()
    def segment(self, picture: NDArray[np.float32], boxes: NDArray[np.int64]) -> NDArray[np.float32]:
        """As :class:`BoxSegmenter`."""
        device = self._sam2.device
        corners = boxes[:, [1, 0, 3, 2]].astype(float).tolist()  # SAM has columns first
        prepared = self._sam2.processor(images=as_picture(picture), input_boxes=[corners], return_tensors="pt")
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            found = self._sam2.network(**prepared.to(device), multimask_output=False)
        sized = self._sam2.processor.post_process_masks(
            found.pred_masks.float().cpu(), prepared["original_sizes"].cpu(), binarize=False
        )
        probabilities: NDArray[np.float32] = torch.sigmoid(sized[0][:, 0]).numpy()
        return probabilities
