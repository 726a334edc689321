"""SAM 2 prompted by boxes, with drawn weights: the places of the boxes, and every path of real weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.support.sam2 import SIDE, tiny_network, write_weights
from xssr_strategy.segmentation.refinement.refine import refine
from xssr_strategy.segmentation.refinement.sam2 import Sam2Boxes

ROWS, COLUMNS = 60, 44


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Sam2Boxes:
    return Sam2Boxes(write_weights(tiny_network(), tmp_path_factory.mktemp("sam2")), device=torch.device("cpu"))


def test_boxes_reach_the_network_where_they_lie_in_its_square(
    segmenter: Sam2Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    network = segmenter._sam2.network
    forward = network.forward

    def noted(**told: Any) -> Any:
        seen.append(told)
        return forward(**told)

    monkeypatch.setattr(network, "forward", noted)
    picture = np.zeros((ROWS, COLUMNS), np.float32)
    picture[30:, :11] = 1.0  # lower left
    found = segmenter.segment(picture, np.array([[30, 0, 60, 11], [0, 22, 15, 44]]))
    assert found.shape == (2, ROWS, COLUMNS)
    assert bool(((found >= 0) & (found <= 1)).all())
    boxes = seen[0]["input_boxes"][0]
    wanted = [[0, SIDE / 2, SIDE / 4, SIDE], [SIDE / 2, 0, SIDE, SIDE / 4]]
    torch.testing.assert_close(boxes.float(), torch.tensor(wanted), atol=1e-3, rtol=0)
    grey = seen[0]["pixel_values"][0].mean(dim=0)
    left, top, right, bottom = (int(value) for value in boxes[0])
    inside, outside = grey[top + 2 : bottom - 2, left + 2 : right - 2], grey[: SIDE // 2 - 2]
    assert float(inside.min()) > float(outside.max()) + 1


def test_a_box_is_answered_the_same_alone_and_beside_others(segmenter: Sam2Boxes) -> None:
    picture = np.random.default_rng(0).random((ROWS, COLUMNS), np.float32)
    boxes = np.array([[5, 5, 30, 20], [20, 10, 55, 40]])
    together = segmenter.segment(picture, boxes)
    np.testing.assert_allclose(segmenter.segment(picture, boxes[1:])[0], together[1], atol=1e-5)


def test_a_volume_is_refined_on_its_own_grid(segmenter: Sam2Boxes) -> None:
    coarse = np.zeros((30, 26, 5), np.uint8)
    coarse[8:20, 6:18, 1:4] = 2
    image = np.random.default_rng(0).random((1, *coarse.shape)).astype(np.float32)
    found = refine(image, coarse, segmenter, (1.0, 1.0, 3.0))
    assert found.refined + found.kept == 3
    assert not found.mask[..., [0, 4]].any()
    assert set(np.unique(found.mask)) <= {0, 2}
