"""Propagation by SAM 2: it remembers what was drawn, and what it found on the slices before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xssr_strategy.segmentation.propagation.engine import FollowedSlice, PropagationEngine
from xssr_strategy.segmentation.sam2 import CHANNELS_LAST, as_picture, contrast_around, load_tracker

_REMEMBERED = 16  # slices back to which SAM 2 looks at most


class Sam2Tracker(PropagationEngine):
    """SAM 2 (Ravi et al. 2024, arXiv 2408.00714), a session for each call, which ends with it.

    A label counts as found while SAM 2's score of it is above 0. Slices are handed over one by one, and what it looks
    back to no more is forgotten: memory does not grow with the volume.

    Args:
        folder: of the weights.
        side: of what SAM 2 sees, in pixels; 0 for that of the training.
        device: where to compute; by default on a GPU if there is one.

    Raises:
        UserError: the weights are missing or damaged, or transformers is not installed.
    """

    name = "sam2"

    def __init__(self, folder: Path, side: int = 0, device: torch.device | None = None) -> None:
        self._sam2 = load_tracker(folder, device, side)

    def follow(
        self, slices: NDArray[np.float32], masks: NDArray[np.bool_], spacing: Sequence[float]
    ) -> Iterator[FollowedSlice]:
        """As :class:`PropagationEngine`."""
        processor, device = self._sam2.processor, self._sam2.device
        stretch = contrast_around(slices[0], masks.any(axis=0))
        present = np.flatnonzero(masks.any(axis=(1, 2)))
        session = processor.init_video_session(
            inference_device=device, inference_state_device="cpu", video_storage_device="cpu", dtype=torch.float32
        )
        for place, values in enumerate(slices):
            frame = processor(images=as_picture(stretch(values)), return_tensors="pt", **CHANNELS_LAST)
            if place == 0:
                processor.add_inputs_to_inference_session(
                    session,
                    frame_idx=0,
                    obj_ids=[int(label) for label in present],
                    input_masks=[np.ascontiguousarray(masks[label].T) for label in present],
                    original_size=values.T.shape,
                )
            with (
                torch.inference_mode(),
                torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"),
            ):
                found = self._sam2.network(inference_session=session, frame=frame["pixel_values"][0], frame_idx=place)
            _forget(session, place)
            if place:
                yield _followed(processor, found, present, masks.shape)


def _followed(processor: Any, found: Any, present: NDArray[np.intp], shape: tuple[int, ...]) -> FollowedSlice:
    """What SAM 2 says of a slice, for all labels: of their probabilities and the background's the sum is 1."""
    maps, seen = np.zeros(shape, dtype=np.float32), np.zeros(shape[0], dtype=bool)
    sized = processor.post_process_masks(
        [found.pred_masks.float()],
        original_sizes=[[shape[2], shape[1]]],
        binarize=False,
    )
    logits = sized[0][:, 0].transpose(1, 2)
    maps[present] = torch.softmax(torch.cat([torch.zeros_like(logits[:1]), logits]), dim=0)[1:].cpu().numpy()
    seen[present] = (found.object_score_logits.flatten() > 0).cpu().numpy()
    return FollowedSlice(maps, seen)


def _forget(session: Any, place: int) -> None:
    """Drop the pictures before, and what was found too far back."""
    for earlier in [number for number in session.processed_frames if number < place]:
        del session.processed_frames[earlier]
    for outputs in session.output_dict_per_obj.values():
        outputs["non_cond_frame_outputs"].pop(place - _REMEMBERED, None)
