"""SAM 2 as what segments the thing in a box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xssr_strategy.segmentation.refinement.segmenter import BoxSegmenter
from xssr_strategy.segmentation.sam2 import CHANNELS_LAST, as_picture, contrast_around, load_boxes

_AT_ONCE = 8  # boxes, for each of which the library copies the features of the picture


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
        self._sam2 = load_boxes(folder, device, side)

    @torch.inference_mode()
    def segment(self, picture: NDArray[np.float32], boxes: NDArray[np.int64]) -> NDArray[np.float32]:
        """As :class:`BoxSegmenter`."""
        device, processor = self._sam2.device, self._sam2.processor
        region = np.zeros(picture.shape[-2:], dtype=bool)
        for top, left, bottom, right in boxes:
            region[top:bottom, left:right] = True
        seen = as_picture(contrast_around(picture, region)(picture))
        embedded, found = None, []
        # The first axis is the horizontal one, and comes first in SAM's boxes, too.
        for part in np.array_split(boxes.astype(float), -(-len(boxes) // _AT_ONCE)):
            prepared = processor(images=seen, input_boxes=[part.tolist()], return_tensors="pt", **CHANNELS_LAST)
            prepared = prepared.to(device)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                if embedded is None:
                    embedded = self._sam2.network.get_image_embeddings(prepared["pixel_values"])
                answer = self._sam2.network(
                    image_embeddings=embedded, input_boxes=prepared["input_boxes"], multimask_output=False
                )
            sizes = prepared["original_sizes"].cpu()
            sized = processor.post_process_masks(answer.pred_masks.float().cpu(), sizes, binarize=False)
            found.append(torch.sigmoid(sized[0][:, 0]).transpose(1, 2).numpy())
        return np.concatenate(found)
