"""What the app does with a request for a sample, a mask or a scoring."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastapi import HTTPException

from xssr_strategy.tasks.inference_request import IMAGE_WAS_SENT, batch_request, inference_request
from xssr_strategy.tasks.next_sample import next_sample
from xssr_strategy.tasks.scoring_schedule import due_methods

DATASTORE: Any = SimpleNamespace(get_image_uri=lambda image: f"/studies/{image}.png" if image == "a" else "")


class Strategies(dict):
    """Two strategies that hand out the image of their own name, once."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        super().__init__(dict.fromkeys(("xssr", "random", "auto"), self.answer))

    def answer(self, request: dict[str, Any], datastore: Any) -> dict[str, Any] | None:
        self.asked.append(request)
        return None if request.get("nothing") else {"id": "a"}


@pytest.mark.parametrize(
    ("request_", "viewer", "expected"),
    [
        ({"strategy": "xssr"}, "xssr", "xssr"),
        ({"strategy": "random"}, "auto", "auto"),  # as OHIF asks
        ({}, "xssr", "xssr"),
        ({"strategy": "random", "client_id": "slicer"}, "xssr", "random"),
        ({"strategy": "random"}, "off", "random"),
        ({"strategy": ""}, "off", "random"),
    ],
)
def test_a_viewer_that_can_only_ask_for_random_gets_the_default_strategy(
    request_: dict[str, Any], viewer: str, expected: str
) -> None:
    strategies = Strategies()
    assert next_sample(request_, DATASTORE, strategies, viewer) == {"id": "a", "path": "/studies/a.png"}
    assert [asked["strategy"] for asked in strategies.asked] == [expected]


def test_nothing_left_and_a_strategy_that_does_not_exist() -> None:
    assert next_sample({"strategy": "xssr", "nothing": True}, DATASTORE, Strategies(), "xssr") == {}
    with pytest.raises(HTTPException, match="strategies are xssr, random, auto") as caught:
        next_sample({"strategy": "xsr"}, DATASTORE, Strategies(), "xssr")
    assert caught.value.status_code == 404


def test_a_mask_is_made_of_an_image_of_the_studies_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert inference_request({"image": "a", "device": "cpu"}, DATASTORE, ("lung",)) == {"image": "a", "device": "cpu"}
    (tmp_path / "a").touch()  # something else of that name, where the server was started
    assert inference_request({"image": "a"}, DATASTORE, ("lung",)) == {"image": "/studies/a.png"}
    for image in ("b", "/etc/passwd", None, 7):
        with pytest.raises(HTTPException, match="does not exist") as caught:
            inference_request({"image": image}, DATASTORE, ("lung",))
        assert caught.value.status_code == 404
    token = IMAGE_WAS_SENT.set(True)
    try:
        assert inference_request({"image": "/tmp/sent.png"}, DATASTORE, ("lung",)) == {"image": "/tmp/sent.png"}  # noqa: S108
    finally:
        IMAGE_WAS_SENT.reset(token)


def test_a_batch_counts_on_several_gpus_only_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert batch_request({"images": "all"}) == {"images": "all", "multi_gpu": there}
    assert batch_request({"multi_gpu": False})["multi_gpu"] is False


def test_a_scoring_method_is_started_once_and_only_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bool] = []
    project: Any = SimpleNamespace(
        scoring_is_due=lambda datastore, look_at_files: looked.append(look_at_files) or True,
        uncertainty=SimpleNamespace(is_due=lambda images: False),
        qualities=SimpleNamespace(is_due=lambda images: True),
    )
    layout: Any = SimpleNamespace(is_due=lambda datastore: True)
    running: list[dict[str, Any]] = []
    monkeypatch.setattr("xssr_strategy.tasks.scoring_schedule.tasks", lambda kind: running)
    every = ("xssr", "entropy", "quality", "map")
    assert due_methods(project, layout, DATASTORE, every, look_at_files=True) == ["xssr", "quality", "map"]
    assert looked == [True]
    assert due_methods(project, layout, DATASTORE, (), look_at_files=False) == []  # switched off
    running[:] = [
        {"request": {"method": "xssr"}, "status": "RUNNING"},
        {"request": {"method": "quality"}, "status": "SUBMITTED"},
        {"request": {"method": "map"}, "status": "DONE"},
    ]
    assert due_methods(project, layout, DATASTORE, every, look_at_files=False) == ["map"]
