"""The annotator's arithmetic, and what the demo does to folders."""

from __future__ import annotations

import numpy as np
import pytest

from xssr_strategy.demo.annotator import mean_dice
from xssr_strategy.demo.command import _emptied
from xssr_strategy.demo.play import in_order
from xssr_strategy.demo.server import Server, free_port
from xssr_strategy.errors import UserError


def test_mean_dice_averages_the_labels_of_the_truth() -> None:
    truth = np.array([1, 1, 2, 2, 0, 0])
    assert mean_dice(truth, truth) == 1.0
    assert mean_dice(np.zeros(6), truth) == 0.0
    assert mean_dice(np.array([1, 0, 2, 2, 0, 0]), truth) == pytest.approx((2 / 3 + 1) / 2)
    assert mean_dice(np.zeros(6), np.zeros(6)) == 1.0
    assert mean_dice(np.ones(6), np.zeros(6)) == 0.0


def test_an_earlier_demo_is_emptied_and_anything_else_left_alone(tmp_path) -> None:
    folder = _emptied(tmp_path / "demo")
    (folder / "old.png").touch()
    assert not (_emptied(folder) / "old.png").exists()
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.txt").touch()
    with pytest.raises(UserError, match="holds files that are not of a demo"):
        _emptied(foreign)
    assert (foreign / "chapter.txt").exists()


def test_in_order() -> None:
    picks = in_order(["b", "a"], "why")
    assert [picks(0), picks(1)] == [{"id": "b", "reason": "why"}, {"id": "a", "reason": "why"}]


def test_a_server_that_ends_at_once_is_reported_with_its_last_line(tmp_path) -> None:
    log = tmp_path / "log" / "server.log"
    command = ["sh", "-c", "echo first; echo the reason; exit 3"]
    with pytest.raises(UserError, match=r"did not start \(the reason\)"), Server(command, free_port(), {}, log):
        pass


def test_a_server_that_never_answers_is_ended(tmp_path) -> None:
    server = Server(["sleep", "600"], free_port(), {"PATH": "/bin:/usr/bin"}, tmp_path / "log", wait=1.0)
    with pytest.raises(UserError, match="did not answer within 1 s"), server:
        pass
    assert not server.running()
