"""Short forms of the two main jobs; the long ones are ``python -m tests.e2e.xray`` and ``... hippocampus``."""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e import hippocampus, xray
from tests.support.data import HIPPOCAMPUS, SHENZHEN, need
from tests.support.warm import start_server

pytestmark = pytest.mark.e2e


def test_chest_xrays_from_one_hospital_to_another(tmp_path) -> None:
    need(SHENZHEN)
    short = {"conf": {"encoder_steps": 10}, "training": {"max_epochs": 3}}
    outcome = xray.run(tmp_path, rounds=4, pool=40, unseen=8, **short, start=start_server)
    print(outcome.report("Montgomery -> Shenzhen, short"))
    assert len(set(outcome.picks)) == 4
    assert np.mean(list(outcome.dice.values())) > 0.85


def test_hippocampus_in_3d_with_two_labels(tmp_path) -> None:
    need(HIPPOCAMPUS)
    short = {"conf": {"encoder_steps": 6}, "training": {"max_epochs": 4}}
    outcome = hippocampus.run(tmp_path, rounds=3, pool=20, unseen=4, **short, start=start_server)
    print(outcome.report("Hippocampus, short"))
    assert len(set(outcome.picks)) == 3
    assert np.mean(list(outcome.dice.values())) > 0.7
