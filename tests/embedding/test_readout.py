from __future__ import annotations

import numpy as np
import pytest
import torch

from xssr_strategy.embedding.readout import LAYOUT, content, layout, read_out


def test_content_forgets_where_and_layout_does_not() -> None:
    features = torch.zeros(2, 8, 4, 4)
    features[0, :, 0, 0] = 1.0
    features[1, :, 3, 2] = 1.0
    vectors = read_out(features).numpy()
    assert vectors.shape == (2, 8 + LAYOUT)
    np.testing.assert_array_equal(*content(vectors))
    assert np.linalg.norm(np.diff(layout(vectors), axis=0)) > 3.0


@pytest.mark.parametrize("grid", [(4, 4), (3, 3, 3), (8, 8), (2, 2, 1)])
def test_layout_keeps_the_distances_of_the_grid(grid: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    features = torch.randn(30, 32, *grid) * torch.linspace(0.2, 2.0, 30).view(30, *[1] * (1 + len(grid)))
    vectors = layout(read_out(features).numpy())
    pool = torch.nn.functional.adaptive_avg_pool2d if len(grid) == 2 else torch.nn.functional.adaptive_avg_pool3d
    whole = pool(features, tuple(min(4, side) for side in grid)).flatten(1).numpy()
    pairs = np.triu_indices(30, 1)
    ours, theirs = (np.linalg.norm(rows[:, None] - rows, axis=2)[pairs] for rows in (vectors, whole))
    assert np.abs(ours / theirs - 1.0).mean() < 0.06
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98


def test_the_projection_is_the_same_everywhere() -> None:
    """A stored vector must mean the same to every later version."""
    vector = layout(read_out(torch.ones(1, 4, 4, 4)).numpy())[0]
    np.testing.assert_allclose(vector[:4], EXPECTED, rtol=1e-4)


EXPECTED = [0.1427104, -0.01609958, -0.4865721, -0.1761504]
