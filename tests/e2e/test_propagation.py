"""One drawn slice becomes a volume behind 3D Slicer's requests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import requests
import SimpleITK as sitk

from tests.support.slicer_images import read_volume
from tests.support.slicer_room import VOLUMES, Room, opened_room, refusal, same_place

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with opened_room(VOLUMES, tmp_path_factory.mktemp("slicer")) as room:
        yield room


def test_one_drawn_slice_becomes_a_volume(room: Room) -> None:
    sample = room.eve.next_sample()
    truth = room.domain.drawn(sample["id"])
    assert "nothing to propagate" in refusal(lambda: room.eve.run_model("propagate"))
    # All segments are sent: one that is finished, the one that is drawn on a slice, and what the brush painted.
    segments = ("anterior", "posterior", "background_scribbles", "foreground_scribbles")
    nothing = np.zeros_like(truth)
    assert "nothing is drawn" in refusal(lambda: room.eve.update_scribbles(nothing, segments, "posterior"))
    place = int((truth == 2).sum(axis=(1, 2)).argmax())
    drawn = np.where(truth == 1, 1, 0)
    drawn[place] = np.where(truth[place] == 2, 2, 3)
    drawn[place, :, : truth.shape[2] // 2][drawn[place, :, : truth.shape[2] // 2] == 2] = 4
    mask = room.eve.update_scribbles(drawn, segments, "posterior")
    assert same_place(mask, read_volume(room.domain.image(sample["id"])))
    found = sitk.GetArrayFromImage(mask)
    assert np.unique(found).tolist() == [0, 2]
    assert ((found[place] == 2) == (truth[place] == 2)).all()
    both = ((found == 2) & (truth == 2)).sum()
    assert both > 3 * (truth[place] == 2).sum()
    assert 2 * both / ((found == 2).sum() + (truth == 2).sum()) > 0.4
    told = room.eve.told
    assert (told["engine"], told["orientation"]) == ("registration", "transverse")
    assert told["label_names"] == {"anterior": 1, "posterior": 2}
    assert told["filled"] == (found > 0).any(axis=(1, 2)).sum() - 1


def test_it_takes_one_image_at_a_time_and_no_network(room: Room) -> None:
    batch = room.eve.send("POST", "/batch/infer/propagate", "{}", {"content-type": "application/json"})
    assert (batch.status_code, "one image at a time" in batch.text) == (422, True), batch.text
    upload = requests.put(f"{room.server.url}/model/propagate", files={"file": b"weights"}, timeout=60)
    assert (upload.status_code, "does not exist" in upload.text) == (404, True), upload.text
    assert "Traceback" not in room.log()
