r"""Trains a SAM 2 of a million parameters on phantoms: box to mask, and what it remembers from slice to slice.

    python -m benchmarks.tiny_sam2 simulations/tiny-sam2

No weights of SAM 2 are needed to test the software, but drawn ones show nothing of what refinement and propagation are
worth. This network learns in half an hour to follow ellipses; it is of no use for anything else. Prints what it makes
of phantoms that it has not seen, and fails where a bound is missed: Dice on the five slices after the drawn one, beside
a copy of that slice and beside registration; on how many slices too many or too few it finds an ellipse that ends; Dice
of coarse masks before and after refinement. Weights that are there are measured and not trained again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from benchmarks.bound import Bound, show
from tests.support.moving_discs import Sequence, moving_ellipse
from tests.support.sam2 import SIDE, tiny_network, write_weights
from xssr_strategy.segmentation.propagation.engine import PropagationEngine
from xssr_strategy.segmentation.propagation.propagate import propagate
from xssr_strategy.segmentation.propagation.registration import Registration
from xssr_strategy.segmentation.propagation.sam2 import Sam2Tracker
from xssr_strategy.segmentation.refinement.refine import refine
from xssr_strategy.segmentation.refinement.sam2 import Sam2Boxes
from xssr_strategy.segmentation.sam2 import as_picture, contrast_around

STEPS, FRAMES, BOXES, FOLLOWED = 3500, 4, 6, 8
_LEARNING_RATE, _JITTER = 1e-3, 4


def train(out: Path, steps: int, seed: int = 0) -> None:
    """Train, and write the folder of weights."""
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), tiny_network(seed)
    processor = _processor(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=0.01)
    network.memory_attention.register_forward_hook(lambda _module, _seen, found: found.transpose(0, 1))  # of a batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=steps)
    began, losses = time.perf_counter(), []
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        loss = _box_loss(network, processor, rng) + _follow_loss(network, processor, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            print(
                f"{step} of {steps}: loss {np.mean(losses[-50:]):.3f}, {time.perf_counter() - began:.0f} s", flush=True
            )
    write_weights(network.eval(), out)
    print(f"weights in {out}")


def evaluate(weights: Path, count: int = 30) -> list[Bound]:
    """What the weights make of phantoms that no training has seen."""
    rng, cpu = np.random.default_rng(10**6), torch.device("cpu")
    tracker, boxes = Sam2Tracker(weights, device=cpu), Sam2Boxes(weights, device=cpu)
    followed: list[tuple[float, float, float]] = []
    lengths: list[tuple[int, int]] = []
    refined: list[tuple[float, float, float]] = []
    for _ in range(count):
        phantom = moving_ellipse(rng, 6)
        drawn, later = phantom.masks[0], phantom.masks[1:]
        copied = float(np.mean([dice(drawn, mask) for mask in later]))
        followed.append((copied, _followed(tracker, phantom), _followed(Registration(), phantom)))
        coarse = ndimage.shift(drawn.astype(np.uint8), rng.integers(-3, 4, 2), order=0)
        coarse = ndimage.binary_dilation(coarse, iterations=int(rng.integers(1, 4))).astype(np.uint8)
        found = refine(phantom.slices[:1], coarse, boxes)
        refined.append((dice(coarse > 0, drawn), dice(found.mask > 0, drawn), found.refined))
        ends = moving_ellipse(rng, 10, ends=True)
        if ends.masks[0].any():
            given = np.where(np.arange(10)[:, None, None] == 0, ends.masks, 0).astype(np.uint8)
            mask = propagate(ends.slices, given, ("ellipse",), (3.0, 1.0, 1.0), tracker, axis=0).mask
            lengths.append((int(ends.masks.any(axis=(1, 2)).sum()), int(mask.any(axis=(1, 2)).sum())))
    copy, sam2, registered = np.mean(followed, axis=0)
    far = float(np.mean([abs(truth - found) for truth, found in lengths]))
    before, after, share = np.mean(refined, axis=0)
    return [
        Bound(
            "Dice of SAM 2 on the five slices after the drawn one, less that of a copy",
            f"{sam2 - copy:.3f} ({sam2:.3f}; a copy {copy:.3f}, registration {registered:.3f})",
            "at least 0.2",
            sam2 - copy >= 0.2,
        ),
        Bound(
            "slices that hold an ellipse which ends, and those on which SAM 2 finds it: difference",
            f"{far:.1f}",
            "at most 1",
            far <= 1,
        ),
        Bound(
            "Dice of refined masks, less that of coarse ones",
            f"{after - before:.3f} ({after:.3f}; coarse {before:.3f}; {share:.0%} were replaced)",
            "at least 0.05",
            after - before >= 0.05,
        ),
    ]


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Of two masks; 1 where both are empty."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


def _followed(engine: PropagationEngine, phantom: Sequence) -> float:
    """Mean Dice on the slices after the first."""
    found = engine.follow(phantom.slices, phantom.masks[:1], (1.0, 1.0))
    return float(np.mean([dice(one.maps[0] >= 0.5, mask) for one, mask in zip(found, phantom.masks[1:], strict=True)]))


def _processor(network: Any) -> Any:
    """As whoever loads the weights gets it; they are not written to their place before they are trained."""
    from transformers import Sam2VideoProcessor

    with tempfile.TemporaryDirectory() as folder:
        return Sam2VideoProcessor.from_pretrained(write_weights(network, Path(folder)), local_files_only=True)


def _pixels(processor: Any, slices: np.ndarray) -> Tensor:
    """(slices, 3, SIDE, SIDE) as the network sees them."""
    pixels: Tensor = processor(images=[as_picture(one) for one in slices], return_tensors="pt")["pixel_values"]
    return pixels


def _box_loss(network: Any, processor: Any, rng: np.random.Generator) -> Tensor:
    """Of ellipses in boxes that are somewhat too large or too small."""
    phantoms = [_spread(moving_ellipse(rng, 1)) for _ in range(BOXES)]
    boxes = [_box(one, rng) for one in phantoms]
    found = network._single_frame_forward(
        pixel_values=_pixels(processor, np.concatenate([one.slices for one in phantoms])),
        input_boxes=torch.tensor(boxes, dtype=torch.float32)[:, None],
        multimask_output=False,
    )
    return _mask_loss(found.pred_masks.flatten(end_dim=1), np.concatenate([one.masks for one in phantoms]))


def _spread(phantom: Sequence) -> Sequence:
    """With the contrast that the engines give it."""
    return phantom._replace(slices=contrast_around(phantom.slices[0], phantom.masks[0])(phantom.slices))


def _box(phantom: Sequence, rng: np.random.Generator) -> list[float]:
    rows, columns = ndimage.find_objects(phantom.masks[0].astype(np.uint8))[0]
    corners = np.array([rows.start, columns.start, rows.stop, columns.stop], dtype=float)
    corners += np.array([-1, -1, 1, 1]) * rng.uniform(-2, 8) + rng.uniform(-_JITTER, _JITTER, 4)
    return np.clip(corners, 0, SIDE).tolist()


def _follow_loss(network: Any, processor: Any, rng: np.random.Generator) -> Tensor:
    """Of ellipses on the slices after the one that is drawn, and of the score that tells whether they are there.

    The library follows the objects of one video; here each phantom of a batch is one, with pictures of its own.
    """
    phantoms: list[Sequence] = []
    while len(phantoms) < FOLLOWED:
        one = moving_ellipse(rng, FRAMES, ends=bool(rng.random() < 0.4))
        if one.masks[0].any():
            phantoms.append(_spread(one))
    masks = np.stack([one.masks for one in phantoms], axis=1)  # (slices, phantoms, X, Y)
    seen = network.get_image_features(
        _pixels(processor, np.stack([one.slices for one in phantoms], axis=1).reshape(-1, SIDE, SIDE)), return_dict=True
    )
    session = processor.init_video_session(inference_device="cpu", dtype=torch.float32)
    session.obj_id_to_idx(1)
    total = torch.zeros(())
    for place, wanted in enumerate(masks):
        found = _one_slice(network, session, seen, place, torch.from_numpy(wanted).float().transpose(1, 2)[:, None])
        if place:
            there = torch.from_numpy(wanted.any(axis=(1, 2)))
            scores = found["object_score_logits"].flatten()
            total = total + 0.2 * F.binary_cross_entropy_with_logits(scores, there.float())
            if there.any():
                total = total + _mask_loss(found["pred_masks"][there, 0], wanted[there.numpy()])
    return total / (FRAMES - 1)


def _one_slice(network: Any, session: Any, seen: Any, place: int, drawn: Tensor) -> dict[str, Tensor]:
    """What the network finds on a slice of each phantom, with gradients; the masks of the first slice are given."""
    count, first = len(drawn), place == 0
    features, positions = (
        [level[:, place * count : (place + 1) * count] for level in levels]
        for levels in (seen.fpn_hidden_states, seen.fpn_position_encoding)
    )
    session.cache.cache_vision_features(place, {"vision_feats": features, "vision_pos_embeds": positions})
    found: dict[str, Tensor] = network._run_single_frame_inference(
        inference_session=session,
        frame_idx=place,
        obj_idx=0,
        batch_size=1,
        is_init_cond_frame=first,
        point_inputs=None,
        mask_inputs=drawn if first else None,
        reverse=False,
        streaming=True,
    )
    found["object_pointer"] = found["object_pointer"][:, :1]  # of given masks the library makes a pointer for each pair
    session.store_output(0, place, output_value=found, is_conditioning_frame=first)
    memory, encoding = network._encode_new_memory(
        features[-1], found["high_res_masks"], found["object_score_logits"], is_mask_from_pts=first
    )
    stored = session.output_dict_per_obj[0]["cond_frame_outputs" if first else "non_cond_frame_outputs"][place]
    stored |= {"maskmem_features": memory, "maskmem_pos_enc": encoding}
    return found


def _mask_loss(logits: Tensor, masks: np.ndarray) -> Tensor:
    """Cross-entropy and Dice of (N, Y, X) logits against masks (N, X, Y) of a finer grid."""
    upright = torch.from_numpy(masks).float().transpose(1, 2)
    wanted = F.interpolate(upright[:, None], logits.shape[-2:], mode="area")[:, 0]
    clamped = logits.clamp(-20, 20)
    found = clamped.sigmoid()
    dice = 1 - (2 * (found * wanted).sum((1, 2)) + 1) / (found.sum((1, 2)) + wanted.sum((1, 2)) + 1)
    return F.binary_cross_entropy_with_logits(clamped, wanted) * 2 + dice.mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    if not (arguments.out / "model.safetensors").exists():
        train(arguments.out, arguments.steps)
    found = evaluate(arguments.out)
    show(found, Console())
    sys.exit(not all(bound.kept for bound in found))
