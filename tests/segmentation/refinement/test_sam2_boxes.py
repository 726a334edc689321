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
    """The first axis of a picture is the horizontal one, as SAM 2 counts it first."""
    seen: dict[str, Any] = {}
    network = segmenter._sam2.network
    forward, embed = network.forward, network.get_image_embeddings

    def noted(**told: Any) -> Any:
        seen["boxes"] = told["input_boxes"][0].float()
        return forward(**told)

    def embedded(pixels: Any) -> Any:
        seen["pixels"] = pixels[0].mean(dim=0)
        return embed(pixels)

    monkeypatch.setattr(network, "forward", noted)
    monkeypatch.setattr(network, "get_image_embeddings", embedded)
    picture = np.zeros((ROWS, COLUMNS), np.float32)
    picture[30:, :11] = 1.0
    found = segmenter.segment(picture, np.array([[30, 0, 60, 11], [0, 22, 15, 44]]))
    assert found.shape == (2, ROWS, COLUMNS)
    assert bool(((found >= 0) & (found <= 1)).all())
    wanted = [[SIDE / 2, 0, SIDE, SIDE / 4], [0, SIDE / 2, SIDE / 4, SIDE]]
    torch.testing.assert_close(seen["boxes"], torch.tensor(wanted), atol=1e-3, rtol=0)
    left, top, right, bottom = (int(value) for value in seen["boxes"][0])
    inside = seen["pixels"][top + 2 : bottom - 2, left + 2 : right - 2]
    assert float(inside.min()) > float(seen["pixels"][:, : SIDE // 2 - 2].max()) + 1


def test_a_box_is_answered_the_same_alone_and_beside_others(segmenter: Sam2Boxes) -> None:
    picture = np.random.default_rng(0).random((ROWS, COLUMNS), np.float32)
    picture[0, 0], picture[-1, -1] = 0.0, 1.0
    boxes = np.array([[0, 0, 60, 44], *[[5 + k, 5, 30 + k, 20 + k] for k in range(18)]])  # more than go in at once
    together = segmenter.segment(picture, boxes)
    assert len(together) == len(boxes)
    for number in (1, 9, 17):
        alone = segmenter.segment(picture, boxes[[0, number]])  # the first of them keeps the contrast the same
        np.testing.assert_allclose(alone[1], together[number], atol=1e-5)


def test_a_volume_is_refined_on_its_own_grid(segmenter: Sam2Boxes) -> None:
    coarse = np.zeros((30, 26, 5), np.uint8)
    coarse[8:20, 6:18, 1:4] = 2
    image = np.random.default_rng(0).random((1, *coarse.shape)).astype(np.float32)
    found = refine(image, coarse, segmenter, (1.0, 1.0, 3.0))
    assert found.refined + found.kept == 3
    assert not found.mask[..., [0, 4]].any()
    assert set(np.unique(found.mask)) <= {0, 2}
