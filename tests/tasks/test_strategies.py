from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.phantoms import write_png
from xssr_strategy.errors import UserError
from xssr_strategy.selection.catalogue import MODEL_BASED, REVIEW, SELECTORS, SERVED
from xssr_strategy.settings import Settings, parse_settings
from xssr_strategy.simulation.strategies import parse_strategies
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.strategies import served_strategies


def test_one_catalogue_names_the_strategies_of_server_settings_and_simulation(tmp_path: Path) -> None:
    for number in range(2):
        write_png(tmp_path / f"a{number}.png", np.full((20, 24), 50 + number))
    served = served_strategies(Project(str(tmp_path), {}))
    assert tuple(served) == SERVED
    assert next(iter(served)) == "xssr"  # which 3D Slicer preselects
    for name in served:
        assert parse_settings({"viewer_strategy": name}).viewer_strategy == name
    assert set(SERVED) - {REVIEW} <= {*SELECTORS, *MODEL_BASED}
    for name in set(SERVED) - {REVIEW}:
        assert parse_strategies(name) == (name,)
    with pytest.raises(UserError):
        parse_strategies(REVIEW)  # what it hands out is not to be annotated from scratch
    assert MODEL_BASED["auto"].after == Settings().auto_labels
