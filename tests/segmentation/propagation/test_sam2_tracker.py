"""Propagation by SAM 2, with drawn weights: what they find is no use, but every path is that of real ones."""

from __future__ import annotations

import gc
import weakref
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.sam2 import tiny_network, write_weights
from xssr_strategy.errors import UserError
from xssr_strategy.segmentation.propagation.propagate import propagate
from xssr_strategy.segmentation.propagation.sam2 import Sam2Tracker
from xssr_strategy.segmentation.sam2 import as_picture, contrast_around, load_tracker

CPU = torch.device("cpu")
ROWS, COLUMNS = 60, 44


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tiny_network(), tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with which what is remembered counts."""
    return write_weights(tiny_network(scale=3.0), tmp_path_factory.mktemp("sam2"))


def slices(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, ROWS, COLUMNS), np.float32)


def drawn() -> np.ndarray:
    masks = np.zeros((3, ROWS, COLUMNS), dtype=bool)
    masks[0, 10:30, 5:20] = True
    masks[2, 35:50, 22:40] = True  # the second label is not on the slice
    return masks


def test_slices_that_are_handed_over_one_by_one_are_followed_as_a_whole_video_is(
    strong: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own way, which holds all slices in memory, is the reference; it looks back to 16 of them."""
    seen, masks = slices(22), drawn()
    sam2 = load_tracker(strong, CPU)
    spread = contrast_around(seen[0], masks.any(axis=0))
    video = np.stack([as_picture(spread(one)) for one in seen])
    session = sam2.processor.init_video_session(video=video, inference_device="cpu", dtype=torch.float32)
    sam2.processor.add_inputs_to_inference_session(
        session, frame_idx=0, obj_ids=[0, 2], input_masks=[masks[0].T.copy(), masks[2].T.copy()]
    )
    sam2.network(inference_session=session, frame_idx=0)
    wanted = []
    for one in sam2.network.propagate_in_video_iterator(session, start_frame_idx=0):
        logits = sam2.processor.post_process_masks([one.pred_masks], [[COLUMNS, ROWS]], binarize=False)[0][:, 0]
        both = torch.cat([torch.zeros_like(logits[:1]), logits]).softmax(dim=0)[1:]
        wanted.append(both.transpose(1, 2).numpy())
    tracker = Sam2Tracker(strong, device=CPU)
    followed = list(tracker.follow(seen, masks, (1.0, 1.0)))
    assert len(followed) == len(seen) - 1
    for one, reference in zip(followed, wanted[1:], strict=True):
        np.testing.assert_allclose(one.maps[[0, 2]], reference, atol=1e-4)
        assert not one.maps[1].any()
        assert one.found.shape == (3,)
        assert not one.found[1]
    monkeypatch.setattr("xssr_strategy.segmentation.propagation.sam2._REMEMBERED", 2)
    forgetful = list(tracker.follow(seen, masks, (1.0, 1.0)))
    assert (
        max(float(np.abs(one.maps - other.maps).max()) for one, other in zip(followed, forgetful, strict=True)) > 5e-4
    )


def test_probabilities_of_labels_and_background_add_up(strong: Path) -> None:
    for one in Sam2Tracker(strong, device=CPU).follow(slices(3), drawn(), (1.0, 1.0)):
        assert one.maps.min() >= 0
        assert one.maps.sum(axis=0).max() <= 1 + 1e-6


def test_memory_does_not_grow_with_the_slices(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Sam2Tracker(weights, device=CPU)
    sessions = []
    processor = type(tracker._sam2.processor)
    begin = processor.init_video_session

    def noted(self, **told):  # type: ignore[no-untyped-def]
        sessions.append(begin(self, **told))
        return sessions[-1]

    monkeypatch.setattr(processor, "init_video_session", noted)
    held = []
    for _ in tracker.follow(slices(24), drawn(), (1.0, 1.0)):
        outputs = sessions[0].output_dict_per_obj[0]["non_cond_frame_outputs"]
        held.append((len(sessions[0].processed_frames), len(outputs)))
    assert max(held) == (1, 16)
    assert len(held) == 23


def test_two_at_once_and_one_that_is_left_do_not_meet(weights: Path) -> None:
    tracker, seen = Sam2Tracker(weights, device=CPU), slices(6)
    alone = list(tracker.follow(seen, drawn(), (1.0, 1.0)))
    left = tracker.follow(seen[::-1], drawn()[:, ::-1], (1.0, 1.0))
    next(left)
    one, other = (tracker.follow(seen, drawn(), (1.0, 1.0)) for _ in range(2))
    for again, twin, wanted in zip(one, other, alone, strict=True):
        np.testing.assert_array_equal(again.maps, wanted.maps)
        np.testing.assert_array_equal(twin.maps, wanted.maps)
    left.close()
    np.testing.assert_array_equal(next(islice(tracker.follow(seen, drawn(), (1.0, 1.0)), 1)).maps, alone[0].maps)


def test_a_session_that_is_left_is_freed(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Sam2Tracker(weights, device=CPU)
    sessions: list[weakref.ref] = []
    processor = type(tracker._sam2.processor)
    begin = processor.init_video_session

    def noted(self, **told):  # type: ignore[no-untyped-def]
        session = begin(self, **told)
        sessions.append(weakref.ref(session))
        return session

    monkeypatch.setattr(processor, "init_video_session", noted)

    def leave(done: int, total: int) -> None:
        if done == 3:
            raise UserError("left")

    given = np.zeros((8, *drawn().shape[1:]), np.uint8)
    given[2] = drawn()[0]
    with pytest.raises(UserError, match="left"):
        propagate(slices(8), given, ("a",), (3.0, 1.0, 1.0), tracker, progress=leave)
    gc.collect()
    assert sessions
    assert [session() for session in sessions] == [None] * len(sessions)


def test_what_was_drawn_stays_as_it_was(weights: Path) -> None:
    image = slices(9)
    given = np.zeros(image.shape, np.uint8)
    given[4, 10:30, 5:20] = 1
    given[4, 35:50, 22:40] = 2
    found = propagate(image, given, ("a", "b"), (3.0, 1.0, 1.0), Sam2Tracker(weights, device=CPU))
    assert found.drawn == (4,)
    np.testing.assert_array_equal(found.mask[4], given[4])
